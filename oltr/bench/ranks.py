"""Several treatments over several blocks, by their ranks: Friedman's test and Nemenyi's critical difference.

Demšar (2006): statistical comparisons of classifiers over multiple data sets. There a block is a data set, and blocks
are independent; whoever takes runs on one data set as blocks says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Treatments ranked within each block, 1 the best."""

    names: tuple[str, ...]
    blocks: int
    average: tuple[float, ...]
    """The mean rank of each treatment."""
    chi_squared: float
    """Friedman's statistic."""
    chi_squared_p: float
    f: float
    """Iman and Davenport's statistic, which is less conservative (Demšar, 2006)."""
    f_p: float
    critical_difference: float
    """Mean ranks that differ by more differ at the 5 % level (Nemenyi, 1963)."""

    @property
    def cliques(self) -> tuple[tuple[int, ...], ...]:
        """The largest sets of treatments, by falling quality, whose mean ranks do not differ."""
        order = np.argsort(self.average, kind="stable")
        sorted_ranks = [self.average[index] for index in order]
        found: list[tuple[int, int]] = []
        for first in range(len(order)):
            last = max(
                index
                for index, rank in enumerate(sorted_ranks)
                if rank - sorted_ranks[first] <= self.critical_difference
            )
            if last > first and (not found or last > found[-1][1]):
                found.append((first, last))
        return tuple(tuple(int(order[index]) for index in range(first, last + 1)) for first, last in found)


def rank(names: Sequence[str], values: NDArray[np.float64], *, level: float = 0.05) -> Ranks | None:
    """``values`` [blocks, treatments], of which more is better; None where there are fewer than two of either.

    Where no block tells any treatments apart, nothing can be tested: p is 1.
    """
    blocks, treatments = values.shape
    if blocks < 2 or treatments < 2:
        return None
    average = stats.rankdata(-values, axis=1).mean(0)
    chi_squared = _friedman(average, blocks)
    most = blocks * (treatments - 1)  # where all blocks agree
    f = math.inf if chi_squared >= most * (1 - 1e-12) else (blocks - 1) * chi_squared / (most - chi_squared)
    return Ranks(
        names=tuple(names),
        blocks=blocks,
        average=tuple(map(float, average)),
        chi_squared=chi_squared,
        chi_squared_p=float(stats.chi2.sf(chi_squared, treatments - 1)),
        f=f,
        f_p=float(stats.f.sf(f, treatments - 1, (treatments - 1) * (blocks - 1))),
        critical_difference=nemenyi(treatments, blocks, level=level),
    )


def nemenyi(treatments: int, blocks: int, *, level: float = 0.05) -> float:
    """The critical difference of mean ranks: q * sqrt(k (k + 1) / 6N), q the studentised range over sqrt(2)."""
    q = float(stats.studentized_range.ppf(1 - level, treatments, np.inf)) / math.sqrt(2)
    return q * math.sqrt(treatments * (treatments + 1) / (6 * blocks))


def _friedman(average: NDArray[np.float64], blocks: int) -> float:
    """As Demšar (2006) writes it, without a correction for ties, which would only make it larger."""
    treatments = len(average)
    spread = float(((average - (treatments + 1) / 2) ** 2).sum())
    return 12 * blocks * spread / (treatments * (treatments + 1))
