"""Scores in relation to those of the predicted class."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from oltr.contracts import Known, Outputs, UserError
from oltr.scorers.energy import Energy
from oltr.scorers.max_logit import MaximumLogit
from oltr.scorers.msp import MaximumSoftmax
from oltr.scorers.smoothed_shares import SmoothedShares

BASES: dict[str, Callable[[Outputs], Tensor]] = {
    "msp": MaximumSoftmax(),
    "max_logit": MaximumLogit(),
    "energy": Energy(),
}


class ClassConditional:
    """The log-odds that a validation image predicted as the same class looks less unknown by the ``base`` score, [B].

    A tail class's images have lower confidence, known or not; against others of their own class they are not held to
    the head's standard. The share of a class's validation images is shrunk to that of all of them, which counts as
    ``shrinkage`` images: a class never predicted has that alone. Strictly rising in the base score for one class.
    """

    needs_val = True

    def __init__(self, *, base: Literal["msp", "max_logit", "energy"] = "msp", shrinkage: float = 10.0) -> None:
        if base not in BASES:
            raise UserError(f"class_conditional: the base is one of {', '.join(BASES)}, not {base}")
        if not (shrinkage > 0 and math.isfinite(shrinkage)):
            raise UserError(f"class_conditional: the shrinkage must be above 0 and finite, not {shrinkage:g}")
        self.base = BASES[base]
        self.shrinkage = shrinkage
        self.everyone: SmoothedShares | None = None
        self.counts = torch.empty(0, dtype=torch.int64)  # [C], validation images by predicted class
        self.keys = torch.empty(0, dtype=torch.int64)  # [N], sorted by predicted class, then by score

    def fit(self, known: Known) -> None:
        found = [(self.base(of).double(), of.logits.argmax(dim=1), of.logits.shape[1]) for of, _ in known.val()]
        if not sum(len(scores) for scores, _, _ in found):
            raise UserError("class_conditional is fitted on validation images, and there are none; msp works without")
        scores, predicted = torch.cat([block[0] for block in found]), torch.cat([block[1] for block in found])
        self.everyone = SmoothedShares(scores)
        self.counts = predicted.bincount(minlength=found[0][2])
        self.keys = (predicted * (len(scores) + 1) + self.everyone.below(scores)).sort().values

    def __call__(self, outputs: Outputs) -> Tensor:
        if self.everyone is None:
            raise UserError("class_conditional: fit it before it scores")
        base = self.base(outputs)
        scores, predicted = base.double(), outputs.logits.argmax(dim=1)
        first = predicted * (len(self.keys) + 1)
        start = (self.counts.cumsum(0) - self.counts)[predicted]
        fewer = torch.searchsorted(self.keys, first + self.everyone.below(scores)) - start
        up_to = torch.searchsorted(self.keys, first + self.everyone.up_to(scores)) - start
        below = (fewer + up_to) / 2  # of the class, where an equal score counts half
        log_below, log_above = self.everyone(scores)
        strength = math.log(self.shrinkage)
        odds = torch.logaddexp(below.double().log(), strength + log_below) - torch.logaddexp(
            (self.counts[predicted] - below).double().log(), strength + log_above
        )
        return odds.to(base)
