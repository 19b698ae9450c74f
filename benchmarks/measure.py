"""Times of contenders that take turns, so that a slow spell of the machine meets all of them."""

from __future__ import annotations

import os
import resource
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

LEAST_ROUNDS = 3
ROW_SECONDS = 60.0
"""A row whose rounds would take longer has fewer of them."""
SAMPLE_SECONDS = 0.1
"""What is shorter is called as often as this takes, and the time divided."""

WARM_SECONDS = 1.0
"""What is shorter is called once before each turn, unmeasured: the first call after another's turn takes longer."""

Clock = Callable[[], float]
Sampler = Callable[[int], float]
"""Seconds a call, over so many calls."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median, smallest and largest of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(median=statistics.median(values), low=min(values), high=max(values))


def measure(
    contenders: Mapping[str, Callable[[], Any]],
    *,
    rounds: int,
    sample_seconds: float = SAMPLE_SECONDS,
    clock: Clock = perf_counter,
) -> dict[str, list[float]]:
    """Seconds a call by contender, one value a round."""
    samplers = {name: partial(sample, contender, clock=clock) for name, contender in contenders.items()}
    return turns(samplers, rounds=rounds, sample_seconds=sample_seconds)


def turns(samplers: Mapping[str, Sampler], *, rounds: int, sample_seconds: float) -> dict[str, list[float]]:
    """What each sampler says, one value a round; in each round all run, each time another one first."""
    calls: dict[str, int] = {}
    cold: set[str] = set()
    seconds = 0.0
    for name, sampler in samplers.items():
        once = sampler(1)
        calls[name] = max(1, round(sample_seconds / max(once, 1e-9)))
        if once < WARM_SECONDS:
            cold.add(name)
        seconds += once * (calls[name] + (name in cold))
    rounds = max(min(rounds, LEAST_ROUNDS), min(rounds, int(ROW_SECONDS / max(seconds, 1e-9))))
    names = list(samplers)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            if name in cold:
                samplers[name](1)
            times[name].append(samplers[name](calls[name]))
    return times


def sample(contender: Callable[[], Any], calls: int, clock: Clock = perf_counter) -> float:
    """Seconds a call, over so many calls."""
    started = clock()
    for _ in range(calls):
        contender()
    return (clock() - started) / calls


def ratios(times: Mapping[str, list[float]], name: str) -> Spread:
    """How many times as long ``name`` takes as ours, round by round."""
    return Spread.of([other / ours for other, ours in zip(times[name], times["ours"], strict=True)])


class OtherLoad:
    """How many cores everything else on this machine keeps busy, from now on."""

    def __init__(self) -> None:
        self._start = self._now()

    def cores(self) -> float | None:
        """None where the system does not tell."""
        (wall, busy, own), (wall_then, busy_then, own_then) = self._now(), self._start
        if busy is None or busy_then is None or wall <= wall_then:
            return None
        return max(0.0, (busy - busy_then - (own - own_then)) / (wall - wall_then))

    @staticmethod
    def _now() -> tuple[float, float | None, float]:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        own = sum(usage.ru_utime + usage.ru_stime for usage in usages)
        try:
            words = Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=9)[1:9]
        except OSError:
            return perf_counter(), None, own
        user, nice, system, _, _, *rest = map(int, words)  # idle and waiting left out, stolen time included
        return perf_counter(), (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK"), own
