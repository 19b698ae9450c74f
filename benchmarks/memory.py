"""How much memory one call takes at its peak beyond what was there before, seen in a process of its own."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import tempfile
from pathlib import Path

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
    """The peak of one call in this process, from the kernel's high-water mark."""
    try:
        _give_back()
        CLEAR.write_text("5", encoding="ascii")  # resets the mark
        before = _status("VmRSS")
        result = case.contenders[contender]()
        peak = _status("VmHWM") - before
        del result
    except OSError:
        return None
    return max(0, peak)


def _give_back() -> None:
    """Freed memory that the allocator kept would hide what the call takes."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status(key: str) -> int:
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def _main(name: str, contender: str, threads: str, size: str) -> None:
    from benchmarks.suites import row_named

    torch.set_num_threads(int(threads))
    row = row_named(name)
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        row.case(Path(first), tiny=True).contenders[contender]()  # loads what is loaded late
        print(json.dumps(measured(row.case(Path(second), tiny=size == "tiny"), contender)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
