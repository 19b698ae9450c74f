"""The cosine layer of the published code: unit-length class weights, features of a squashed length."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oltr.contracts import Head, UserError


class CosNorm(nn.Module):
    """Features h [B, D] to logits [B, C]: ``scale * |h| / (1 + |h|)`` times the cosine to each class weight.

    Computed as ``h / (1 + |h|)``, which is smooth at zero: a zero feature has zero logits and finite gradients, where
    the published code gives NaN (Gidaris and Komodakis, 2018; Liu et al., 2019).
    """

    def __init__(self, *, feature_dim: int, num_classes: int, scale: float) -> None:
        super().__init__()
        if not 0 < scale < float("inf"):
            raise UserError(f"scale: the scale of cosine logits is a positive number, not {scale}")
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(num_classes, feature_dim))
        nn.init.uniform_(self.weight, -(feature_dim**-0.5), feature_dim**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        # Logits are divided in place of weights, of which there are more: fewer passes over [C, D], there and back.
        lengths = torch.linalg.vector_norm(self.weight, dim=1).clamp(min=1e-12)  # [C]
        logits: Tensor = F.linear(self.penultimate(features), self.weight) / lengths
        return logits

    def penultimate(self, features: Tensor, centroids: Tensor | None = None) -> Tensor:
        """The features at their squashed length, times the scale, [B, D]: logits are linear in them."""
        lengths = torch.linalg.vector_norm(features, dim=1, keepdim=True)  # [B, 1]
        squashed: Tensor = self.scale * (features / (1 + lengths))
        return squashed

    def head(self) -> Head:
        """The class weights at unit length, without a bias."""
        weight = F.normalize(self.weight.detach(), dim=1)
        return Head(weight, weight.new_zeros(len(weight)))
