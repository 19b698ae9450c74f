"""Energy, guided by the nearest training images."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from oltr.contracts import Known, Outputs, UserError
from oltr.scorers.in_blocks import in_blocks
from oltr.scorers.neighbours import closest, unit
from oltr.scorers.precision import at_least_single
from oltr.scorers.training_images import training_images, unfitted


class NearestNeighbourGuidance:
    """The log-sum-exp of the logits times the guidance, negated, [B] (Park et al., 2023).

    The guidance is the mean of the ``k`` largest ``E cos``, over the training images, ``cos`` being the cosine of
    their features to the image's and ``E`` their log-sum-exp. ``share`` keeps that part of the training images,
    evenly spaced; all is the default, because a sample loses the tail. It is meant for a positive log-sum-exp.
    """

    needs_train = True

    def __init__(self, *, k: int = 10, share: float = 1.0) -> None:
        if k < 1:
            raise UserError(f"nnguide: k must be at least 1, not {k}")
        if not 0 < share <= 1:
            raise UserError(f"nnguide: share must be above 0 and at most 1, not {share:g}")
        self.k = k
        self.share = share
        self._bank: Tensor | None = None

    def fit(self, known: Known) -> None:
        bank, start = [], 0
        for outputs, labels in training_images(known, "nnguide"):
            kept = [row for row in range(len(labels)) if self._keeps(start + row)]
            bank.append(_energy(outputs)[kept].unsqueeze(1) * unit(outputs.features[kept]))
            start += len(labels)
        self._bank = torch.cat(bank)

    def __call__(self, outputs: Outputs) -> Tensor:
        if self._bank is None:
            raise unfitted("nnguide")
        return -_energy(outputs) * in_blocks(partial(self._guidance, self._bank), outputs.features)

    def _guidance(self, bank: Tensor, features: Tensor) -> Tensor:
        largest, _ = closest(unit(features).to(bank.dtype), bank, bank.new_zeros(len(bank)), self.k)
        return largest.mean(dim=1)

    def _keeps(self, image: int) -> bool:
        """Whether the training image of this number is one of the share; the first always is."""
        return math.ceil((image + 1) * self.share) > math.ceil(image * self.share)


def _energy(outputs: Outputs) -> Tensor:
    """The log-sum-exp of the logits, [B]."""
    return at_least_single(outputs.logits).logsumexp(dim=1)
