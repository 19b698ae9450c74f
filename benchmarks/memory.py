"""How much memory one call takes at its peak beyond what was there before, seen in a process of its own."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.rows import Case, Row

ROOT = Path(__file__).parents[1]
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_bytes(row: Row, contender: str, *, threads: int, tiny: bool = False) -> int | None:
    """Extra bytes at the peak of a call, result included, inputs not; None where the system is not Linux."""
    words = [sys.executable, "-m", "benchmarks.memory", row.name, contender, str(threads), "tiny" if tiny else "full"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{row.name}: {contender} failed: {done.stderr.strip().splitlines()[-1:]}")
    peak: int | None = json.loads(done.stdout.splitlines()[-1])
    return peak


def available_bytes() -> int:
    """Memory that can be taken without swapping; what the system does not tell counts as plenty."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 1 << 62
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), 1 << 62)


def measured(case: Case, contender: str) -> int | None:
    """The peak of one call of a row's contender in this process."""
    return peak_of(case.contenders[contender])


def peak_of(call: Callable[[], Any]) -> int | None:
    """Extra bytes at the peak of one call in this process."""
    mark = HighWater()
    result = call()
    peak = mark.extra()
    del result
    return peak


class HighWater:
    """The kernel's high-water mark of this process, from now on; what is free is given back first.

    Only Linux tells: elsewhere every answer is None.
    """

    def __init__(self) -> None:
        self._before: int | None = None
        try:
            _give_back()
            CLEAR.write_text("5", encoding="ascii")  # resets the mark
            self._before = _status("VmRSS")
        except OSError:
            pass

    def extra(self) -> int | None:
        """Bytes at the peak beyond those at the start."""
        return None if self._before is None else max(0, _status("VmHWM") - self._before)

    def grown(self) -> int | None:
        """Bytes that are held now beyond those at the start."""
        _give_back()
        return None if self._before is None else _status("VmRSS") - self._before


def _give_back() -> None:
    """Freed memory that the allocator kept would hide what the call takes."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status(key: str) -> int:
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def _main(name: str, contender: str, threads: str, size: str) -> None:
    from benchmarks.suites import CPU, row_named

    torch.set_num_threads(int(threads))
    row = row_named(name, CPU)
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        row.case(Path(first), tiny=True).contenders[contender]()  # loads what is loaded late
        print(json.dumps(measured(row.case(Path(second), tiny=size == "tiny"), contender)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
