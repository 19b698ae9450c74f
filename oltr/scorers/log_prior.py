"""Logits without what the class frequencies put into them."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oltr.contracts import UserError
from oltr.scorers.precision import at_least_single


class PriorAdjustment:
    """Logits less tau times the log of each class's share of the training images (Menon et al., 2021).

    A class without training images counts as one with a single image, so the adjustment is finite.
    """

    def __init__(self, *, train_counts: NDArray[np.int64], tau: float, scorer: str) -> None:
        if not (tau >= 0 and math.isfinite(tau)):
            raise UserError(f"{scorer}: tau must be at least 0 and finite, not {tau:g}")
        counts = np.maximum(np.asarray(train_counts, dtype=np.float64), 1)
        self.shift = torch.from_numpy(-tau * np.log(counts / counts.sum()))  # [C]
        self.scorer = scorer

    def __call__(self, logits: Tensor) -> Tensor:
        if logits.shape[1] != len(self.shift):
            sizes = f"logits of {logits.shape[1]} classes, training counts of {len(self.shift)}"
            raise UserError(f"{self.scorer}: {sizes}")
        logits = at_least_single(logits)
        return logits + self.shift.to(logits)
