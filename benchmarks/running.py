"""Rows run one after another: compared, timed in turns, their memory taken in processes of their own."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import SAMPLE_SECONDS, OtherLoad, Spread, measure, ratios
from benchmarks.memory import available_bytes, peak_bytes
from benchmarks.rows import Case, Row, check
from oltr.allocator import keep_freed_memory
from oltr.provenance import git_commit, hardware


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is measured: ``quick`` leaves out what takes long, ``tiny`` is for tests."""

    rounds: int = 7
    threads: int = 1
    memory: bool = True
    tiny: bool = False
    quick: bool = False
    sample_seconds: float = SAMPLE_SECONDS


def run(suite: str, rows: Sequence[Row], settings: Settings, tell: Callable[[str], None]) -> dict[str, Any]:
    """The results of ``rows`` as plain data; ``tell`` hears of each as it is done."""
    keep_freed_memory()  # as a run does, for both contenders
    torch.set_num_threads(settings.threads)

    def all_rows() -> list[dict[str, Any]]:
        finished = []
        for row in rows:
            finished.append(run_row(row, settings))
            tell(f"{row.name}: {finished[-1]['seconds']['ours']['median'] * 1000:.4g} ms")
        return finished

    return measured_here(suite, all_rows)


def measured_here(
    suite: str, work: Callable[[], list[dict[str, Any]]], device: torch.device | None = None
) -> dict[str, Any]:
    """What ``work`` measures, with the machine, the day, and how busy everything else on it was."""
    load = OtherLoad()
    finished = work()
    cores = load.cores()
    return {
        "suite": suite,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "hardware": hardware(device or torch.device("cpu")),
        "torch": torch.__version__,
        "git_commit": git_commit(Path(__file__).parents[1] / "oltr"),
        "other_load_cores": None if cores is None else round(cores, 2),
        "rows": finished,
    }


def run_row(row: Row, settings: Settings) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        case = row.case(Path(folder), tiny=settings.tiny)
        names = list(case.contenders)
        if case.twin_bytes > available_bytes():
            names.remove("twin")
        else:
            check(row.name, case)
        times = _times(case, names, settings)
    peaks: dict[str, int | None] = {}
    if row.memory and settings.memory:
        compared = [name for name in names if name != "yardstick"]
        peaks = {name: peak_bytes(row, name, threads=settings.threads, tiny=settings.tiny) for name in compared}
    sizes = dict(row.tiny if settings.tiny else row.full)
    seconds = {name: Spread.of(values) for name, values in times.items()}
    return {
        "name": row.name,
        "what": row.what.format(**sizes),
        "twin": row.twin,
        "yardstick": row.yardstick,
        "sizes": sizes,
        "rounds": len(times["ours"]),
        "seconds": {name: asdict(spread) for name, spread in seconds.items()},
        "times_ours": {name: asdict(ratios(times, name)) for name in names if name != "ours"},
        "per": row.per,
        "per_second": None if row.per is None else sizes[row.per] / seconds["ours"].median,
        "peak_bytes": peaks,
        "twin_left_out": None if "twin" in names else f"it takes up to {case.twin_bytes / 1e9:.1f} GB",
    }


def _times(case: Case, names: Sequence[str], settings: Settings) -> dict[str, list[float]]:
    gc.collect()
    contenders = {name: case.contenders[name] for name in names}
    return measure(contenders, rounds=settings.rounds, sample_seconds=settings.sample_seconds)
