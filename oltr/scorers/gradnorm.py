"""Norm of a gradient."""

from __future__ import annotations

from torch import Tensor

from oltr.contracts import Outputs
from oltr.scorers.in_blocks import in_blocks
from oltr.scorers.precision import at_least_single


class GradientNorm:
    """The sum of magnitudes of a gradient for the last layer's weights, negated, [B] (Huang et al., 2021).

    The gradient is that of -sum log p over all classes. For a linear layer it is the outer product of C p - 1 and the
    features z, so the norm is |z|_1 times sum |C p - 1|, without a backward pass. It is 0 where there is one class.
    """

    needs_head = True  # for the features that the last layer acts on

    def __call__(self, outputs: Outputs) -> Tensor:
        return in_blocks(_score, outputs.features, outputs.logits)


def _score(features: Tensor, logits: Tensor) -> Tensor:
    logits = at_least_single(logits)
    from_uniform = (logits.shape[1] * logits.softmax(dim=1) - 1).abs().sum(dim=1)
    return -at_least_single(features).abs().sum(dim=1).to(logits) * from_uniform
