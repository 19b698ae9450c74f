"""What a few runs say of a mean, and of a difference: pure functions of numbers.

The runs of one method differ by their training seed alone. What is said here holds for other seeds on the same data
and split, not for other data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 10_000
ENOUGH_FOR_RANKS = 6
"""Pairs from which on Wilcoxon's test can fall below 5 %: the smallest p of n pairs is 2 / 2^n."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What several runs come to."""

    count: int
    mean: float
    deviation: float | None
    """Sample standard deviation (n - 1); None of a single run."""
    interval: tuple[float, float] | None
    """Of the mean, by the bootstrap."""


@dataclass(frozen=True, kw_only=True)
class Paired:
    """A method against the baseline, by the seeds that both have."""

    count: int
    difference: float
    """The method's mean less the baseline's."""
    t_p: float | None
    """Two-sided p of the paired t test; None where it is not defined."""
    t_holm: float | None = None
    """The same, corrected for the number of methods that are tested."""
    wilcoxon_p: float | None = None
    """Two-sided p of Wilcoxon's signed-rank test, from six pairs on."""
    wilcoxon_holm: float | None = None


def spread(values: Sequence[float]) -> Spread | None:
    """Of at least one value; None of none."""
    if not values:
        return None
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(
        count=len(values), mean=float(np.mean(values)), deviation=deviation, interval=bootstrap_interval(values)
    )


def bootstrap_interval(values: Sequence[float], *, level: float = 0.95, seed: int = 0) -> tuple[float, float] | None:
    """The percentile interval of the mean under resampling with replacement (Efron, 1979); None of a single value.

    With two or three values it reaches from the smallest to the largest, and covers less than its ``level`` says.
    """
    if len(values) < 2:
        return None
    given = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(len(given), size=(RESAMPLES, len(given)))
    tail = (1 - level) / 2
    low, high = np.quantile(given[drawn].mean(1), [tail, 1 - tail])
    return float(low), float(high)


def paired(values: Sequence[float], baseline: Sequence[float]) -> Paired | None:
    """Differences of runs with the same seed, in the same order; None where there are none."""
    if not values:
        return None
    differences = np.asarray(values, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    return Paired(
        count=len(differences),
        difference=float(differences.mean()),
        t_p=_paired_t(differences),
        wilcoxon_p=_wilcoxon(differences),
    )


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Corrected for testing all of them: the step-down procedure of Holm (1979); None stays and does not count."""
    told = sorted((value, name) for name, value in p_values.items() if value is not None)
    corrected: dict[str, float | None] = dict.fromkeys(p_values)
    largest = 0.0
    for index, (value, name) in enumerate(told):
        largest = max(largest, min(1.0, (len(told) - index) * value))
        corrected[name] = largest
    return corrected


def _paired_t(differences: NDArray[np.float64]) -> float | None:
    """None of a single pair, and where the differences do not differ: there is no variance to hold the mean against."""
    scale = np.abs(differences).max()
    if len(differences) < 2 or differences.std(ddof=1) <= 1e-12 * scale:
        return None
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def _wilcoxon(differences: NDArray[np.float64]) -> float | None:
    """Exact without zeros and ties, which scipy sees to; zeros are dropped, as Wilcoxon (1945) did."""
    kept = differences[differences != 0]
    if len(kept) < ENOUGH_FOR_RANKS:
        return None
    return float(stats.wilcoxon(kept).pvalue)
