"""The tables of a suite, as plain cells: methods by the headline scorer, and methods by every scorer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from oltr.bench.results import Row, methods_in, of, scorers_in, values
from oltr.bench.statistics import Spread, spread

HIGHER, LOWER = 1, -1


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A column of results: its key in a row, its title, and which way is better."""

    key: str
    title: str
    better: int = HIGHER


LEADERBOARD = (
    Measure(key="accuracy", title="all"),
    Measure(key="many", title="many"),
    Measure(key="medium", title="med"),
    Measure(key="few", title="few"),
    Measure(key="auroc", title="AUROC"),
    Measure(key="auroc_few", title="AUROC few"),
    Measure(key="auroc_far", title="AUROC far"),
    Measure(key="fpr_at_95_known", title="FPR@95known", better=LOWER),
    Measure(key="oscr", title="OSCR"),
    Measure(key="f_oltr2020", title="F oltr2020"),
    Measure(key="f_micro", title="F micro"),
    Measure(key="f1_macro_k1", title="F1 K+1"),
    Measure(key="false_rejection_few", title="few rejected", better=LOWER),
    Measure(key="ece", title="ECE", better=LOWER),
)
BY_SCORER = (
    Measure(key="auroc", title="AUROC: test images against open images"),
    Measure(key="auroc_few", title="AUROC of few-shot test images against open images"),
    Measure(key="auroc_far", title="AUROC against far open images"),
    Measure(
        key="false_rejection_few", title="Few-shot test images rejected at the first operating point", better=LOWER
    ),
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What the runs of one method come to; in bold where no other row of the column is better."""

    found: Spread | None
    runs: int = 0
    """How many there are, with or without the number."""
    bold: bool = False

    @property
    def mean(self) -> str | None:
        """In percent."""
        return None if self.found is None else f"{100 * self.found.mean:.1f}"

    @property
    def deviation(self) -> str | None:
        if self.found is None or self.found.deviation is None:
            return None
        return f"{100 * self.found.deviation:.1f}"

    @property
    def note(self) -> str:
        """How many of the runs have the number, where not all do."""
        return "" if self.found is None or self.found.count == self.runs else f"{self.found.count} of {self.runs}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Titled rows of cells."""

    title: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    caption: str = ""


def leaderboard(rows: Sequence[Row]) -> Table:
    """A row a method; open-set columns by the first scorer of the suite, which is chosen before any number is seen."""
    scorer = next(iter(scorers_in(rows)), None)
    measures = [measure for measure in LEADERBOARD if any(row[measure.key] is not None for row in rows)]
    columns = [
        _marked([_cell(of(rows, method, scorer), measure) for method in methods_in(rows)], measure)
        for measure in measures
    ]
    points = dict.fromkeys(row["operating_point"] for row in rows if row["scorer"] == scorer and row["operating_point"])
    open_set = (
        f" Open set by {scorer}; F and rejection at {', '.join(points) or 'no operating point'}." if scorer else ""
    )
    return Table(
        title="Methods",
        corner="method",
        columns=tuple(measure.title + ("" if measure.better == HIGHER else " ↓") for measure in measures),
        rows=_transposed(methods_in(rows), columns),
        caption=f"Test set, in percent: mean ± sample standard deviation over training seeds.{open_set} "
        "Bold: the best mean of the column, among test numbers.",
    )


def by_scorer(rows: Sequence[Row]) -> list[Table]:
    """A table a measure: a row a scorer, a column a method."""
    methods, scorers = methods_in(rows), scorers_in(rows)
    tables = []
    for measure in BY_SCORER:
        columns = [
            _marked([_cell(of(rows, method, scorer), measure) for scorer in scorers], measure) for method in methods
        ]
        if any(cell.found is not None for column in columns for cell in column):
            better = "" if measure.better == HIGHER else " Lower is better."
            tables.append(
                Table(
                    title=measure.title,
                    corner="scorer",
                    columns=tuple(methods),
                    rows=_transposed(scorers, columns),
                    caption=f"In percent: mean ± sample standard deviation over training seeds.{better} Bold: the best "
                    "scorer of each method, a maximum over test numbers: no result, since choosing it would need "
                    "other data.",
                )
            )
    return tables


def _cell(rows: Sequence[Row], measure: Measure) -> Cell:
    return Cell(found=spread(values(rows, measure.key)), runs=len(rows))


def _marked(cells: Sequence[Cell], measure: Measure) -> list[Cell]:
    """The best of a column in bold, all of them where several print the same; none where there is but one."""
    present = [cell.mean for cell in cells if cell.mean is not None]
    if len(present) < 2:
        return list(cells)
    best: Callable[..., str] = max if measure.better == HIGHER else min
    chosen = best(present, key=float)
    return [replace(cell, bold=cell.mean == chosen) for cell in cells]


def _transposed(names: Sequence[str], columns: Sequence[Sequence[Cell]]) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    return tuple((name, tuple(column[index] for column in columns)) for index, name in enumerate(names))


def skipped(rows: Sequence[Row]) -> Mapping[str, list[str]]:
    """Why scorers have no numbers: of each reason the methods and scorers, `method: scorer`."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["skipped"] is not None and row["scorer"] is not None:
            named = found.setdefault(row["skipped"], [])
            name = f"{row['method']}: {row['scorer']}"
            if name not in named:
                named.append(name)
    return found
