"""Proximity to the predicted class's weights, as neural collapse has it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from oltr.contracts import Known, Outputs, UserError
from oltr.scorers.training_images import last_layer, predicted, unfitted
from oltr.scorers.training_mean import TrainingMean


class NeuralCollapse:
    """How far a feature points along its predicted class's weights, plus ``alpha`` times its size, negated, [B].

    The first term is ``(z - mean) @ weight / |z - mean|``, about the mean training feature; the second is the sum of
    the absolute values of z, by which images near the origin are told (Liu and Qin, 2025).
    """

    needs_head = True
    needs_train = True

    def __init__(self, *, alpha: float = 1e-4) -> None:
        if not (alpha >= 0 and math.isfinite(alpha)):
            raise UserError(f"nci: alpha must be at least 0 and finite, not {alpha:g}")
        self.alpha = alpha
        self._centre: TrainingMean | None = None
        self._weight = torch.zeros(0, 0)

    def fit(self, known: Known) -> None:
        self._weight = last_layer(known, "nci").weight
        self._centre = TrainingMean.of(known, "nci")

    def __call__(self, outputs: Outputs) -> Tensor:
        if self._centre is None:
            raise unfitted("nci")
        deviations, lengths = self._centre.deviations(outputs.features)
        along = (deviations * self._weight[predicted(outputs)]).sum(dim=1) / lengths
        return -along - self.alpha * outputs.features.double().abs().sum(dim=1)
