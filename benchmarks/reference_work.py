"""The process of one contender: it makes itself ready, then answers line by line while the others wait.

Command: python -m benchmarks.reference_work PLAN.json, in the folder that the contender works in.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from benchmarks.measure import sample
from benchmarks.memory import peak_of


@dataclass(frozen=True)
class Work:
    """What a contender does, and numbers of its result that must be equal on both sides."""

    call: Callable[[], Any]
    facts: Callable[[Any], list[float]] | None = None
    before: Callable[[], None] | None = None
    """What must be done before each call, and is not timed."""


def main(plan: dict[str, Any]) -> None:
    """Answer ``facts``, ``memory`` and ``time N`` from standard input as JSON."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the contender prints is no answer
    torch.set_num_threads(plan["threads"])
    torch.manual_seed(0)
    makers = import_module(plan["module"])
    if hasattr(makers, "patch"):
        makers.patch()
    work = getattr(makers, plan["make"])(plan)
    for line in sys.stdin:
        answers.write(json.dumps(_answer(work, *line.split())) + "\n")
        answers.flush()


def _answer(work: Work, wanted: str, count: str = "1") -> Any:
    if wanted == "facts":
        return None if work.facts is None else work.facts(work.call())
    if wanted == "memory":
        return peak_of(work.call)
    if work.before is None:
        return sample(work.call, int(count))
    times = []
    for _ in range(int(count)):
        work.before()
        times.append(sample(work.call, 1))
    return fmean(times)


if __name__ == "__main__":
    # Under its own name: as __main__ its Work would be another class than the one that makers import.
    from benchmarks import reference_work

    reference_work.main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
