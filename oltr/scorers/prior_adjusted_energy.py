"""Free energy without the class frequencies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from oltr.contracts import Outputs
from oltr.scorers.energy import Energy
from oltr.scorers.in_blocks import in_blocks
from oltr.scorers.log_prior import PriorAdjustment


class PriorAdjustedEnergy:
    """The free energy of the logits less tau times the log prior, [B].

    With tau 1 it is minus the log of the sum of exp(logit) / prior over the classes; with 0 it is energy. A class
    without training images has the prior of a single one.
    """

    def __init__(self, *, train_counts: NDArray[np.int64], tau: float = 1.0) -> None:
        self.adjusted = PriorAdjustment(train_counts=train_counts, tau=tau, scorer="prior_adjusted_energy")

    def __call__(self, outputs: Outputs) -> Tensor:
        return in_blocks(self._score, outputs.logits)

    def _score(self, logits: Tensor) -> Tensor:
        logits = self.adjusted(logits)
        return Energy()(Outputs(logits, logits))
