"""Generalised entropy."""

from __future__ import annotations

import math

from torch import Tensor

from oltr.contracts import Outputs, UserError
from oltr.scorers.in_blocks import in_blocks
from oltr.scorers.precision import at_least_single


class GeneralizedEntropy:
    """The sum of (p (1 - p))^gamma over the most probable classes, [B] (Liu et al., 2023).

    ``largest`` is their number, M in the paper; where there are fewer classes, all are taken.
    """

    def __init__(self, *, gamma: float = 0.1, largest: int = 100) -> None:
        if not (gamma > 0 and math.isfinite(gamma)):
            raise UserError(f"gen: gamma must be above 0 and finite, not {gamma:g}")
        if largest < 1:
            raise UserError(f"gen: the number of largest probabilities is at least 1, not {largest}")
        self.gamma = gamma
        self.largest = largest

    def __call__(self, outputs: Outputs) -> Tensor:
        return in_blocks(self._score, outputs.logits)

    def _score(self, logits: Tensor) -> Tensor:
        shares = at_least_single(logits).softmax(dim=1)
        top = shares.topk(min(self.largest, shares.shape[1]), dim=1)
        others = 1 - top.values
        # close to 1, one minus it would be rounded to 0, and a small power makes much of that
        others[:, 0] = shares.scatter(1, top.indices[:, :1], 0).sum(dim=1)
        scores: Tensor = (top.values.pow(self.gamma) * others.clamp(min=0).pow(self.gamma)).sum(dim=1)
        return scores
