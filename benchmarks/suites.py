"""The suites by name, and their rows in the order of the table."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from benchmarks import evaluation, frozen, heads, images, lists, losses, run_costs
from benchmarks.rows import Row

SUITES: dict[str, tuple[Row, ...]] = {
    "cpu": (*heads.ROWS, *frozen.ROWS, *losses.ROWS, *lists.ROWS, *images.ROWS, *evaluation.ROWS, *run_costs.ROWS),
}


class UnknownRowError(Exception):
    """A row was asked for that the suite does not have."""


def row_named(name: str, rows: Sequence[Row] | None = None) -> Row:
    """That row of ``rows``, or of any suite."""
    rows = [row for suite in SUITES.values() for row in suite] if rows is None else rows
    named = {row.name: row for row in rows}
    if name not in named:
        near = get_close_matches(name, named, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(named)}"
        raise UnknownRowError(f"no row is called {name!r}; {hint}")
    return named[name]
