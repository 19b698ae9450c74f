"""The mean training feature, and how far images lie from it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from oltr.contracts import Known
from oltr.scorers.training_images import rounding, training_images


@dataclass(frozen=True, kw_only=True)
class TrainingMean:
    """The mean feature of all training images, in double precision."""

    mean: Tensor  # [D]
    floor: float
    """The least distance from it that counts: below, single precision cannot tell a direction."""

    @classmethod
    def of(cls, known: Known, scorer: str) -> TrainingMean:
        """The mean over ``known``'s training images, in one pass."""
        images, squares, total = 0, 0.0, torch.zeros(())
        for outputs, _ in training_images(known, scorer):
            features = outputs.features.double()
            total = features.sum(dim=0) + total
            squares += float(features.square().sum())
            images += len(features)
        return cls(mean=total / images, floor=rounding(squares / images))

    def deviations(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Deviations from the mean, [B, D], and their lengths, at least ``floor``, [B]."""
        deviations = features.double() - self.mean
        return deviations, torch.linalg.vector_norm(deviations, dim=1).clamp(min=self.floor)
