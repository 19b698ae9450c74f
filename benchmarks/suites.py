"""The suites by name: the rows of each in the order of its table, how they are run, and the page of the results."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol, TypeVar

from benchmarks import (
    evaluation,
    frozen,
    gpu,
    gpu_table,
    heads,
    images,
    lists,
    losses,
    reference,
    reference_rows,
    reference_table,
    run_costs,
    scale,
    scale_page,
    table,
)
from benchmarks.parity_recording import commit_of
from benchmarks.rows import Row
from benchmarks.running import Settings, measured_here, run

Results = dict[str, Any]
Tell = Callable[[str], None]


class UnknownRowError(Exception):
    """A row was asked for that the suite does not have."""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


AnyRow = TypeVar("AnyRow", bound=_Named)

CPU: tuple[Row, ...] = (
    *heads.ROWS,
    *frozen.ROWS,
    *losses.ROWS,
    *lists.ROWS,
    *images.ROWS,
    *evaluation.ROWS,
    *run_costs.ROWS,
)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What ``--suite`` names."""

    run: Callable[[Namespace, Settings, Tell], Results]
    page: Callable[[Mapping[str, Any]], str]
    draw: Callable[[Mapping[str, Any], Path], list[Path]] | None = None


def rows_named(names: Sequence[str] | None, rows: Sequence[AnyRow]) -> list[AnyRow]:
    """Those rows, or all."""
    return list(rows) if names is None else [row_named(name, rows) for name in names]


def row_named(name: str, rows: Sequence[AnyRow]) -> AnyRow:
    named = {row.name: row for row in rows}
    if name not in named:
        near = get_close_matches(name, named, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(named)}"
        raise UnknownRowError(f"no row is called {name!r}; {hint}")
    return named[name]


def run_cpu(chosen: Namespace, settings: Settings, tell: Tell) -> Results:
    rows = rows_named(chosen.rows, CPU)
    if settings.quick and chosen.rows is None:
        rows = [row for row in rows if not row.heavy]
    return run("cpu", rows, settings, tell)


def run_reference(chosen: Namespace, settings: Settings, tell: Tell) -> Results:
    original, fork = chosen.reference, chosen.fork
    reference.check_checkouts(original, fork)
    rows = rows_named(chosen.rows, reference_rows.ROWS)
    found = measured_here("reference", lambda: reference.run_rows(rows, settings, tell, original=original, fork=fork))
    return {**found, "original": commit_of(original), "fork": None if fork is None else commit_of(fork)}


def run_gpu(chosen: Namespace, settings: Settings, tell: Tell) -> Results:
    device, rows = gpu.choose(chosen.device), rows_named(chosen.rows, gpu.ROWS)
    return measured_here("gpu", lambda: gpu.run_rows(rows, settings, device, tell), device)


def run_scale(chosen: Namespace, settings: Settings, tell: Tell) -> Results:
    curves = rows_named(chosen.rows, scale.CURVES)
    which = "tiny" if settings.tiny else "quick" if settings.quick else "sizes"
    return measured_here("scale", lambda: scale.run_curves(curves, which, tell, threads=settings.threads))


SUITES = {
    "cpu": Suite(run=run_cpu, page=table.markdown),
    "gpu": Suite(run=run_gpu, page=gpu_table.markdown),
    "scale": Suite(run=run_scale, page=scale_page.markdown, draw=scale_page.draw),
    "reference": Suite(run=run_reference, page=reference_table.markdown),
}
