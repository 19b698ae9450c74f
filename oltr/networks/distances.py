"""Distances from features to their nearest class centroids, without a tensor of batch x classes x features."""

from __future__ import annotations

import torch
from torch import Tensor


def nearest_distance(features: Tensor, centroids: Tensor) -> Tensor:
    """The Euclidean distance of each feature [B, D] to the nearest of the centroids [C, D], as [B].

    The nearest is found by a matrix product; the distance to it is then exact, and alone carries a gradient, which is
    zero where the feature is the centroid.
    """
    nearest = centroids[nearest_centroid(features, centroids)]
    distance: Tensor = torch.linalg.vector_norm(features - nearest, dim=1)
    return distance


@torch.no_grad()
def nearest_centroid(features: Tensor, centroids: Tensor) -> Tensor:
    """The index of the centroid [C, D] nearest to each feature [B, D], int64 [B]; found outside autocast.

    Both are moved by the mean centroid first: distances stay, and the products lose fewer digits to cancellation.
    """
    with torch.autocast(features.device.type, enabled=False):
        centre = centroids.mean(dim=0)
        queries = features - centre
        keys = (centroids - centre).to(queries.dtype)
        return torch.addmm(torch.linalg.vector_norm(keys, dim=1).square(), queries, keys.T, alpha=-2).argmin(dim=1)
