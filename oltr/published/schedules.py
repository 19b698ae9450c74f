"""The cycle of the published CFL code: a schedule that leaves [0, 1]. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from oltr.contracts import Progress, UserError


@dataclass(frozen=True, kw_only=True)
class CycleFromOne:
    """The published eta: epochs counted from 1, set against the loss's own ``epochs``, not clamped (Smith, 2022)."""

    epochs: int
    factor: float

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise UserError(f"epochs: the loss's own number of epochs is at least 1, not {self.epochs}")

    def __call__(self, progress: Progress) -> float:
        return cycle(progress.epoch + 1, epochs=self.epochs, factor=self.factor)


def cycle(epoch: int, *, epochs: int, factor: float) -> float:
    """The published eta of an epoch, wherever it is counted from.

    Where the published code divides by zero, eta is 0 (``factor`` 1 at its end, as in its other copy) or 1 (a single
    epoch).
    """
    if epochs == 1:
        return 1.0
    turn = factor * epoch / (epochs - 1)
    if factor * epoch < epochs:
        return 1.0 - turn
    return (turn - 1.0) / (factor - 1.0) if factor != 1 else 0.0
