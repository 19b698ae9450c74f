"""The cosine classifier."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from oltr.networks.cos_norm import CosNorm
from oltr.networks.inherit import load_strictly


class Cosine(CosNorm):
    """Logits [B, C] by the angle between features [B, D] and class weights; a memory, if any, is not read."""

    def __init__(self, *, feature_dim: int, num_classes: int, scale: float = 16.0) -> None:
        super().__init__(feature_dim=feature_dim, num_classes=num_classes, scale=scale)

    def forward(self, features: Tensor, centroids: Tensor | None = None) -> Tensor:
        return super().forward(features)

    def inherit(self, state: Mapping[str, Tensor]) -> None:
        """Start from a predecessor of the same type."""
        load_strictly(self, state, part="cosine")
