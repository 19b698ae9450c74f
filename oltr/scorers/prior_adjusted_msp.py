"""Maximum softmax probability without the class frequencies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from oltr.contracts import Outputs
from oltr.scorers.in_blocks import in_blocks
from oltr.scorers.log_prior import PriorAdjustment
from oltr.scorers.msp import MaximumSoftmax


class PriorAdjustedSoftmax:
    """The largest class probability after tau times the log prior is taken from the logits, negated, [B].

    With tau 1 it is the confidence as if all classes had been equally frequent in training; with 0 it is msp. A class
    without training images has the prior of a single one.
    """

    def __init__(self, *, train_counts: NDArray[np.int64], tau: float = 1.0) -> None:
        self.adjusted = PriorAdjustment(train_counts=train_counts, tau=tau, scorer="prior_adjusted_msp")

    def __call__(self, outputs: Outputs) -> Tensor:
        return in_blocks(self._score, outputs.logits)

    def _score(self, logits: Tensor) -> Tensor:
        logits = self.adjusted(logits)
        return MaximumSoftmax()(Outputs(logits, logits))
