"""Sizes of the classes of a long tail."""

from __future__ import annotations

from collections.abc import Callable

from oltr.contracts import UserError

PARETO_POWER = 6


def class_sizes(profile: str, classes: int, *, largest: int, smallest: int) -> list[int]:
    """Training images of each class, the largest first; a single class has ``largest``.

    ``exponential``: rounded geometric steps. ``pareto``: quantiles of a Pareto distribution of power 6, the law that
    ImageNet-LT's sizes were drawn from (Liu et al., 2019). ``step``: the first half of the classes, and the middle one,
    have ``largest``, the others ``smallest`` (Buda et al., 2018).
    """
    if profile not in PROFILES:
        raise UserError(f"no profile {profile!r}; there are {', '.join(PROFILES)}")
    height = PROFILES[profile]
    return [round(height(rank, classes, largest, smallest)) for rank in range(classes)]


def _exponential(rank: int, classes: int, largest: int, smallest: int) -> float:
    return float(largest * (smallest / largest) ** (rank / max(1, classes - 1)))


def _pareto(rank: int, classes: int, largest: int, smallest: int) -> float:
    """``smallest`` at the last rank, ``largest`` at the first."""

    def excess(part: float) -> float:
        return float(part ** (-1 / PARETO_POWER)) - 1

    if classes == 1:
        return largest
    return smallest + (largest - smallest) * excess((rank + 1) / classes) / excess(1 / classes)


def _step(rank: int, classes: int, largest: int, smallest: int) -> float:
    return largest if rank < (classes + 1) // 2 else smallest


PROFILES: dict[str, Callable[[int, int, int, int], float]] = {
    "exponential": _exponential,
    "pareto": _pareto,
    "step": _step,
}
