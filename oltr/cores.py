"""The cores that a process may use, as its system, its scheduler or its container shares them out."""

from __future__ import annotations

import math
import os
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
"""Where Linux tells of groups of processes and what they share."""


def usable_cores() -> int:
    """At least 1: those that this process may run on, no more than the time that its container has of them."""
    try:
        there = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        there = os.cpu_count() or 1
    return min(there, math.ceil(quota() or there))


def quota(groups: Path = GROUPS, own: Path = Path("/proc/self/cgroup")) -> float | None:
    """Cores' worth of time that this process's groups get, the least of them; None where nothing limits it.

    Of the second version of Linux's groups, and of the first where it is laid out as usual.
    """
    try:
        names = [line.partition("::")[2] for line in own.read_text(encoding="utf-8").splitlines() if "::" in line]
    except (OSError, ValueError):  # or a name that is no text
        return None
    group = groups / names[0].lstrip("/") if names else groups
    chain = [group, *(parent for parent in group.parents if parent.is_relative_to(groups))]
    told = [_words(place / "cpu.max") for place in chain]
    told.append(_words(groups / "cpu" / "cpu.cfs_quota_us") + _words(groups / "cpu" / "cpu.cfs_period_us"))
    limits = [int(words[0]) / int(words[1]) for words in told if len(words) == 2 and words[0].isdigit()]
    return min((limit for limit in limits if limit > 0), default=None)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return []
