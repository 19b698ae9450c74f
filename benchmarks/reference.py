"""The original measured in turn with ours: each contender a process of its own, one at work at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from ctypes.util import find_library
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import reference_data
from benchmarks.measure import Spread, turns
from benchmarks.parity_recording import NEEDED, PARTS, demand, link
from benchmarks.reference_rows import ReferenceRow
from benchmarks.rows import DisagreementError, differs
from benchmarks.running import Settings
from oltr.contracts import RunError

ROOT = Path(__file__).parents[1]
ORIGINAL = "original"
LINKED = (*PARTS, "config/*/*.py")
NEEDED_CONFIGS = ("config/ImageNet_LT/stage_1.py", "config/Places_LT/stage_1.py")
MALLOC = {"MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1"}
"""Of jemalloc: freed memory is kept."""
FORK_LOSS = "loss/asl_focal_loss.py"


def check_checkouts(original: Path, fork: Path | None) -> None:
    """Raise UserError where one of them is not what it should be."""
    demand(original, (*NEEDED, *NEEDED_CONFIGS), "a checkout of zhmiao/OpenLongTailRecognition-OLTR")
    if fork is not None:
        demand(fork, (FORK_LOSS,), "the folder OLTR of a checkout of lnsmith54/CFL")


def run_rows(
    rows: Sequence[ReferenceRow],
    settings: Settings,
    tell: Callable[[str], None],
    *,
    original: Path,
    fork: Path | None = None,
) -> list[dict[str, Any]]:
    """The results as plain data, without rows of the fork where there is none, and rows that fail unless all do."""
    found: list[dict[str, Any]] = []
    failed: RunError | None = None
    for row in rows:
        if row.forked and fork is None:
            tell(f"{row.name}: left out, --fork names no checkout")
            continue
        try:
            found.append(_run(row, settings, original, fork))
        except RunError as error:  # the others took their time and are not lost with it
            tell(f"{row.name}: left out: {error}")
            failed = error
            continue
        first = next(iter(row.ours))
        tell(f"{row.name}: {found[-1]['original_takes'][first]['median']:.3g} times as fast as the original")
    if failed is not None and not found:
        raise failed
    return found


def _run(row: ReferenceRow, settings: Settings, original: Path, fork: Path | None) -> dict[str, Any]:
    sizes = dict(row.tiny if settings.tiny else row.full)
    allocator = find_library("jemalloc")
    ways = {name: options for name, options in row.ours.items() if allocator or not options.get("preload")}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        link(folder, original, fork if row.forked else None, LINKED)
        if row.width:
            dataset = str(row.options["config"]).partition("/")[0]
            reference_data.write(folder, width=row.width, images=sizes["images"], dataset=dataset)
        shared = {**row.options, **sizes, "folder": str(folder), "make": row.make, "threads": row.threads}
        plans = {ORIGINAL: {**shared, "module": "benchmarks.reference_theirs"}}
        plans |= {name: {**shared, **options, "module": "benchmarks.reference_ours"} for name, options in ways.items()}
        if settings.threads != Settings.threads:
            plans = {name: {**plan, "threads": settings.threads} for name, plan in plans.items()}
        processes = {name: stack.enter_context(_started(folder, name, plan, allocator)) for name, plan in plans.items()}
        _compare(row, processes)
        peaks = {name: ask("memory") for name, ask in processes.items()} if row.memory and settings.memory else {}
        samplers = {name: (lambda calls, ask=ask: ask(f"time {calls}")) for name, ask in processes.items()}
        times = turns(samplers, rounds=settings.rounds, sample_seconds=settings.sample_seconds)
    return _results(row, sizes, times, peaks, left_out=[name for name in row.ours if name not in ways])


def _results(
    row: ReferenceRow,
    sizes: Mapping[str, int],
    times: Mapping[str, list[float]],
    peaks: Mapping[str, int | None],
    left_out: list[str],
) -> dict[str, Any]:
    ratios = {
        name: Spread.of([theirs / ours for theirs, ours in zip(times[ORIGINAL], values, strict=True)])
        for name, values in times.items()
        if name != ORIGINAL
    }
    return {
        "name": row.name,
        "what": row.what.format(**{**row.options, **sizes}),
        "sizes": dict(sizes),
        "threads": row.threads,
        "rounds": len(times[ORIGINAL]),
        "seconds": {name: asdict(Spread.of(values)) for name, values in times.items()},
        "original_takes": {name: asdict(spread) for name, spread in ratios.items()},
        "to_reach": dict(row.to_reach),
        "per": row.per,
        "counted": None if row.per is None else sizes[row.per],
        "peak_bytes": dict(peaks),
        "left_out": left_out,
    }


Ask = Callable[[str], Any]


def _compare(row: ReferenceRow, processes: Mapping[str, Ask]) -> None:
    """Let each contender run once, and raise DisagreementError where one computes something else."""
    facts = {name: ask("facts") for name, ask in processes.items()}
    for name, found in facts.items():
        for place, (own, theirs) in enumerate(zip(found or [], facts[ORIGINAL] or [], strict=True)):
            if (found_difference := differs(float(own), float(theirs), row.tolerance_of(name))) is not None:
                raise DisagreementError(f"{row.name}: {name} and the original differ [{place}]{found_difference}")


@contextmanager
def _started(folder: Path, name: str, plan: Mapping[str, Any], allocator: str | None) -> Iterator[Ask]:
    """A contender's process, as a function that asks it something and waits for the answer."""
    file = folder / f"{name}.json"
    file.write_text(json.dumps(plan), encoding="utf-8")
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": "Agg"}
    environment["OMP_NUM_THREADS"] = str(plan["threads"])
    if plan.get("preload") and allocator:
        environment |= {"LD_PRELOAD": allocator, **MALLOC}
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.reference_work", str(file)]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
        with subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes) as process:  # type: ignore[call-overload]

            def ask(words: str) -> Any:
                with suppress(BrokenPipeError):  # it is gone, and has said why
                    os.write(process.stdin.fileno(), f"{words}\n".encode())
                answer = process.stdout.readline()
                if not answer:
                    process.wait()
                    errors.seek(0)
                    last = (errors.read().strip() or f"no reason given, exit code {process.returncode}").splitlines()[
                        -1
                    ]
                    raise RunError(f"{plan['make']}, {name}: the process failed: {last}")
                return json.loads(answer)

            try:
                yield ask
            finally:
                process.stdin.close()  # that ends it, and those that read for it
