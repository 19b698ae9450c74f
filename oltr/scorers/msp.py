"""Maximum softmax probability."""

from __future__ import annotations

from torch import Tensor

from oltr.contracts import Outputs
from oltr.scorers.precision import at_least_single


class MaximumSoftmax:
    """The largest class probability, negated, [B]: from -1 to -1 / C (Hendrycks and Gimpel, 2017)."""

    def __call__(self, outputs: Outputs) -> Tensor:
        return -at_least_single(outputs.logits).softmax(dim=1).amax(dim=1)
