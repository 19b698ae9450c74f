"""Methods and scorers of a suite held against each other: intervals, tests against the baseline, ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from oltr.bench.ranks import Ranks, rank
from oltr.bench.results import Row, methods_in, of, scorers_in, values
from oltr.bench.statistics import Paired, Spread, holm, paired, spread
from oltr.bench.tables import HIGHER, Measure

TESTED = (
    Measure(key="accuracy", title="all"),
    Measure(key="few", title="few"),
    Measure(key="auroc", title="AUROC"),
    Measure(key="auroc_few", title="AUROC few"),
    Measure(key="oscr", title="OSCR"),
)
"""What is tested: few of the columns, and chosen before any number is seen."""


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """Ranks, what they rank by, and what was left out for want of numbers."""

    ranks: Ranks
    measure: Measure
    left_out: tuple[str, ...] = ()


def intervals(rows: Sequence[Row]) -> dict[str, dict[str, Spread | None]]:
    """Of each method, the means of what is tested, by key, with the bootstrap's intervals."""
    return {
        method: {measure.key: spread(values(of(rows, method, _headline(rows)), measure.key)) for measure in TESTED}
        for method in methods_in(rows)
    }


def against(rows: Sequence[Row], baseline: str) -> dict[str, dict[str, Paired]]:
    """By measure, each method against the baseline by seed; Holm's correction is over the methods of a measure."""
    found = {measure.key: _differences(rows, baseline, measure) for measure in TESTED}
    return {key: _corrected(tested) for key, tested in found.items() if tested}


def methods_ranked(rows: Sequence[Row], measure: Measure = TESTED[2]) -> Ranked | None:
    """Methods ranked within each seed that all of them have."""
    methods, scorer = methods_in(rows), _headline(rows)
    by_seed = {
        method: {row["seed"]: row[measure.key] for row in of(rows, method, scorer) if row[measure.key] is not None}
        for method in methods
    }
    kept = [method for method in methods if by_seed[method]]
    seeds = sorted(set.intersection(*(set(by_seed[method]) for method in kept))) if kept else []
    return _ranked(kept, [[by_seed[method][seed] for method in kept] for seed in seeds], measure, methods)


def scorers_ranked(rows: Sequence[Row], measure: Measure = TESTED[2], *, seeds_apart: bool = True) -> Ranked | None:
    """Scorers ranked within each run, or within each method where its seeds are taken together, as their mean.

    A scorer that some run has no number for is left out.
    """
    runs = list(dict.fromkeys((row["method"], row["seed"]) for row in rows))
    found = {((row["method"], row["seed"]), row["scorer"]): row[measure.key] for row in rows}
    scorers = scorers_in(rows)
    kept = [name for name in scorers if all(found.get((run, name)) is not None for run in runs)]
    blocks = {run: [found[run, name] for name in kept] for run in runs}
    if seeds_apart:
        return _ranked(kept, list(blocks.values()), measure, scorers)
    together = [[blocks[run] for run in runs if run[0] == method] for method in methods_in(rows)]
    return _ranked(kept, [np.mean(members, axis=0) for members in together], measure, scorers)


def _headline(rows: Sequence[Row]) -> str | None:
    return next(iter(scorers_in(rows)), None)


def _differences(rows: Sequence[Row], baseline: str, measure: Measure) -> dict[str, Paired]:
    """Of the methods that have a seed in common with the baseline."""
    scorer = _headline(rows)
    base = {row["seed"]: row[measure.key] for row in of(rows, baseline, scorer) if row[measure.key] is not None}
    tested: dict[str, Paired] = {}
    for method in methods_in(rows):
        mine = {row["seed"]: row[measure.key] for row in of(rows, method, scorer) if row[measure.key] is not None}
        seeds = sorted(mine.keys() & base.keys())
        result = paired([mine[seed] for seed in seeds], [base[seed] for seed in seeds])
        if method != baseline and result is not None:
            tested[method] = result
    return tested


def _corrected(tested: dict[str, Paired]) -> dict[str, Paired]:
    t = holm({method: result.t_p for method, result in tested.items()})
    wilcoxon = holm({method: result.wilcoxon_p for method, result in tested.items()})
    return {
        method: replace(result, t_holm=t[method], wilcoxon_holm=wilcoxon[method]) for method, result in tested.items()
    }


def _ranked(
    kept: Sequence[str], blocks: Sequence[Sequence[float] | NDArray[np.float64]], measure: Measure, names: Sequence[str]
) -> Ranked | None:
    if not kept or not blocks:
        return None
    table = np.asarray(blocks, dtype=np.float64)
    ranks = rank(kept, table if measure.better == HIGHER else -table)
    if ranks is None:
        return None
    return Ranked(ranks=ranks, measure=measure, left_out=tuple(name for name in names if name not in kept))
