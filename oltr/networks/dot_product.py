"""The linear classifier."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from oltr.contracts import Head
from oltr.networks.inherit import load_strictly


class DotProduct(nn.Module):
    """Logits [B, C] as an affine function of the features [B, D]; a memory, if any, is not read."""

    def __init__(self, *, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(feature_dim, num_classes)

    def forward(self, features: Tensor, centroids: Tensor | None = None) -> Tensor:
        logits: Tensor = self.fc(features)
        return logits

    def penultimate(self, features: Tensor, centroids: Tensor | None = None) -> Tensor:
        """What the last layer acts on: the features themselves."""
        return features

    def head(self) -> Head:
        return Head(self.fc.weight.detach(), self.fc.bias.detach())

    def inherit(self, state: Mapping[str, Tensor]) -> None:
        """Start from a predecessor of the same type."""
        load_strictly(self, state, part="dot_product")
