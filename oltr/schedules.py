"""Schedules: pure functions of progress that stand wherever a scalar does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from oltr.contracts import Progress, Scalar, UserError, at


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The same value throughout."""

    value: float

    def __call__(self, progress: Progress) -> float:
        return float(self.value)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A value that is multiplied by ``factor`` after each ``every`` epochs."""

    value: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        _check("step", "every", self.every, least=1)

    def __call__(self, progress: Progress) -> float:
        return float(self.value * self.factor ** (progress.epoch // self.every))


@dataclass(frozen=True, kw_only=True)
class MultiStep:
    """A value that is multiplied by ``factor`` from each milestone on.

    A milestone is an epoch, or below 1 the fraction of the stage, rounded down, that comes before it.
    """

    value: float
    milestones: Sequence[float]
    factor: float = 0.1

    def __post_init__(self) -> None:
        for milestone in self.milestones:
            if not milestone > 0 or (milestone > 1 and milestone != int(milestone)):
                raise UserError(f"a milestone is a whole epoch or a fraction between 0 and 1, not {milestone:g}")

    def __call__(self, progress: Progress) -> float:
        passed = sum(progress.epoch >= self._epoch(milestone, progress.epochs) for milestone in self.milestones)
        return float(self.value * self.factor**passed)

    @staticmethod
    def _epoch(milestone: float, epochs: int) -> int:
        # 0.29 of 100 epochs is 28.999999999999996 in binary.
        return int(milestone) if milestone >= 1 else math.floor(milestone * epochs + 1e-9)


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A straight line from ``start`` in the first epoch to ``end`` in the last."""

    start: float
    end: float

    def __call__(self, progress: Progress) -> float:
        return float((1 - progress.fraction) * self.start + progress.fraction * self.end)


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Half a cosine from ``value`` down to ``end``, which follows the last epoch (Loshchilov and Hutter, 2017).

    It begins after ``warmup`` epochs that climb to ``value`` in equal steps, the first of them above 0.
    """

    value: float
    end: float = 0.0
    warmup: int = 0

    def __post_init__(self) -> None:
        _check("cosine", "warmup", self.warmup, least=0)

    def __call__(self, progress: Progress) -> float:
        if progress.epoch < self.warmup:
            return self.value * (progress.epoch + 1) / (self.warmup + 1)
        return _cosine(self.value, self.end, (progress.epoch - self.warmup) / (progress.epochs - self.warmup))


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """Another scalar under a factor that climbs from ``start_factor`` to 1 in ``epochs`` (Goyal et al., 2017).

    The scalar ``after`` sees the progress of the whole stage: its milestones do not shift.
    """

    epochs: int
    after: Scalar
    start_factor: float = 0.1

    def __post_init__(self) -> None:
        _check("warmup", "epochs", self.epochs, least=1)

    def __call__(self, progress: Progress) -> float:
        climbed = min(1.0, progress.epoch / self.epochs)
        return at(self.after, progress) * ((1 - climbed) * self.start_factor + climbed)


@dataclass(frozen=True, kw_only=True)
class Restarts:
    """Half cosines from ``value`` down to ``end``, the first ``period`` epochs long (Loshchilov and Hutter, 2017).

    Each is ``growth`` times as long as the one before.
    """

    value: float
    period: int
    end: float = 0.0
    growth: float = 1.0

    def __post_init__(self) -> None:
        _check("restarts", "period", self.period, least=1)
        _check("restarts", "growth", self.growth, least=1)

    def __call__(self, progress: Progress) -> float:
        epoch, period = float(progress.epoch), float(self.period)
        while epoch >= period:
            epoch, period = epoch - period, period * self.growth
        return _cosine(self.value, self.end, epoch / period)


@dataclass(frozen=True, kw_only=True)
class Cyclical:
    """From ``low`` in the first epoch to ``high`` at ``1 / factor`` of the way and back to ``low`` (Smith, 2022)."""

    low: float
    high: float
    factor: float = 2.0

    def __post_init__(self) -> None:
        _check("cyclical", "factor", self.factor, least=1)

    def __call__(self, progress: Progress) -> float:
        eta = progress.cycle(self.factor)
        return (1 - eta) * self.high + eta * self.low


def _cosine(value: float, end: float, fraction: float) -> float:
    return end + (value - end) * (1 + math.cos(math.pi * fraction)) / 2


def _check(schedule: str, option: str, number: float, *, least: int) -> None:
    if not number >= least:
        raise UserError(f"{schedule}.{option} is at least {least}, not {number:g}")
