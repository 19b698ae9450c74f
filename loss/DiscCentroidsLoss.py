"""Door for existing OLTR trainers: ``create_loss(...)`` holds the centroids and is called with (features, labels)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from oltr.losses.disc_centroids import disc_centroids_loss


class DiscCentroidsLoss(nn.Module):
    """The discriminative centroid loss with its published gradient; trainers read and fill ``centroids.data``."""

    def __init__(self, num_classes: int, feat_dim: int, size_average: bool = True) -> None:
        super().__init__()
        self.num_classes, self.feat_dim, self.size_average = num_classes, feat_dim, size_average
        self.centroids = nn.Parameter(torch.randn(num_classes, feat_dim))

    def forward(self, feat: Tensor, label: Tensor) -> Tensor:
        return disc_centroids_loss(feat, self.centroids, label, average=self.size_average)


def create_loss(feat_dim: int = 512, num_classes: int = 1000, size_average: bool = True) -> DiscCentroidsLoss:
    return DiscCentroidsLoss(num_classes, feat_dim, size_average)
