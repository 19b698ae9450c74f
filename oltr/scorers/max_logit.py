"""Maximum logit."""

from __future__ import annotations

from torch import Tensor

from oltr.contracts import Outputs
from oltr.scorers.precision import at_least_single


class MaximumLogit:
    """The largest logit, negated, [B] (Hendrycks et al., 2022; Vaze et al., 2022)."""

    def __call__(self, outputs: Outputs) -> Tensor:
        return -at_least_single(outputs.logits.amax(dim=1))
