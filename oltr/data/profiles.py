"""The shape of a long tail: how many images a class has, before any rounding."""

from __future__ import annotations

from oltr.contracts import UserError

PROFILES = ("exponential", "step", "pareto")
_PARETO_POWER = 6


def heights(profile: str, classes: int, *, largest: int, factor: float) -> list[float]:
    """Images of each class, falling from ``largest`` to ``largest / factor``; both ends are exact.

    ``exponential`` (Cui et al., 2019) and ``step``, whose second half is small (Cao et al., 2019), are as published;
    ``pareto`` has the quantiles of a Pareto distribution of power 6, from which ImageNet-LT's sizes were drawn (Liu et
    al., 2019), brought to the same two ends. A single class has ``largest``.
    """
    if profile not in PROFILES:
        raise UserError(f"no profile {profile!r}; there are {', '.join(PROFILES)}")
    return [_height(profile, rank, classes, largest, factor) for rank in range(classes)]


def _height(profile: str, rank: int, classes: int, largest: int, factor: float) -> float:
    """Exact at both ends, where rounding down would make one image less of a last digit."""
    if rank == 0:
        return largest
    if profile == "step":
        return largest if rank < classes // 2 else largest / factor
    if profile == "exponential":
        return float(largest / factor ** (rank / (classes - 1.0)))
    share = _excess((rank + 1) / classes) / _excess(1 / classes)
    smallest = largest / factor
    return smallest + (largest - smallest) * share


def _excess(share: float) -> float:
    """How far the Pareto quantile that ``share`` of all values exceed lies above the smallest value, which is 1."""
    return float(share ** (-1 / _PARETO_POWER)) - 1
