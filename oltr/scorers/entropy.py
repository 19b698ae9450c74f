"""Entropy of the predicted distribution."""

from __future__ import annotations

import torch
from torch import Tensor

from oltr.contracts import Outputs
from oltr.scorers.precision import at_least_single


class Entropy:
    """The entropy of the class probabilities in nats, [B]: from 0 to log C."""

    def __call__(self, outputs: Outputs) -> Tensor:
        entropies: Tensor = torch.special.entr(at_least_single(outputs.logits).softmax(dim=1)).sum(dim=1)
        return entropies
