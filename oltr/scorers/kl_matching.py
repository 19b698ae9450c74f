"""Divergence from the classes' typical predictions."""

from __future__ import annotations

import torch
from torch import Tensor

from oltr.contracts import Known, Outputs, UserError
from oltr.scorers.in_blocks import in_blocks
from oltr.scorers.precision import at_least_single

FLOOR = 1e-30
"""The least probability that a template gives a class: a template of zeros would be infinitely far from anything."""


class KLMatching:
    """The least divergence D(p || d) from an image's class probabilities to a class's template, [B].

    A template d is the mean prediction for the validation images that are predicted as its class, whatever their label;
    a class that is never predicted there has none (Hendrycks et al., 2022).
    """

    needs_val = True

    def __init__(self) -> None:
        self.log_templates = torch.empty(0, 0)  # [K, C]

    def fit(self, known: Known) -> None:
        total: Tensor | None = None
        for outputs, _ in known.val():
            shares = outputs.logits.double().softmax(dim=1)
            if total is None:
                total = shares.new_zeros(shares.shape[1], shares.shape[1])
            total.index_add_(0, outputs.logits.argmax(dim=1), shares)
        if total is None or not total.any():
            raise UserError("kl_matching is fitted on validation images, and there are none; entropy works without")
        found = total[total.sum(dim=1) > 0]
        self.log_templates = (found / found.sum(dim=1, keepdim=True)).clamp(min=FLOOR).log()

    def __call__(self, outputs: Outputs) -> Tensor:
        if not len(self.log_templates):
            raise UserError("kl_matching: fit it before it scores")
        return in_blocks(self._score, outputs.logits)

    def _score(self, logits: Tensor) -> Tensor:
        shares = at_least_single(logits).softmax(dim=1)
        surprise = -torch.special.entr(shares).sum(dim=1, keepdim=True)  # [B, 1], sum p log p
        divergences = surprise - shares @ self.log_templates.to(shares).T  # [B, K]
        least: Tensor = divergences.amin(dim=1).clamp(min=0)
        return least
