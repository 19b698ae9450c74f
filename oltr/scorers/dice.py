"""Sparsification of the last layer."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from oltr.contracts import Head, Known, Outputs, UserError
from oltr.scorers.head_energy import given_head, head_energy
from oltr.scorers.in_blocks import in_blocks
from oltr.scorers.percentile import checked_percentile
from oltr.scorers.precision import at_least_single


class Dice:
    """The energy of the logits that the last layer's most contributing weights give, [B] (Sun and Li, 2022).

    A weight contributes itself times the mean of its activation over the training images. Of all weights of all classes
    those at or above the percentile stay, the others become 0; biases stay. Where all contribute alike, all stay.
    """

    needs_head = True
    needs_train = True

    def __init__(self, *, percentile: float = 90.0) -> None:
        self.percentile = checked_percentile(percentile, scorer="dice")
        self.head: Head | None = None

    def fit(self, known: Known) -> None:
        head = given_head(known, scorer="dice")
        weight = head.weight.double()
        total, images = weight.new_zeros(weight.shape[1]), 0
        for outputs, _ in known.train():
            total += outputs.features.double().sum(dim=0).to(total)
            images += len(outputs.features)
        if not images:
            raise UserError("dice is fitted on training images, and there are none; react works without")
        contributions = weight * (total / images)
        cut = float(np.percentile(contributions.cpu().numpy(), self.percentile))
        self.head = Head(torch.where(contributions >= cut, head.weight, 0), head.bias)

    def __call__(self, outputs: Outputs) -> Tensor:
        return in_blocks(self._score, outputs.features)

    def _score(self, features: Tensor) -> Tensor:
        return head_energy(self.head, at_least_single(features), scorer="dice")
