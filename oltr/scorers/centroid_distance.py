"""Distance to the nearest class centroid."""

from __future__ import annotations

import torch
from torch import Tensor

from oltr.contracts import Outputs, UserError
from oltr.scorers.precision import at_least_single

BLOCK = 1 << 22
"""How many distances are held at a time."""


class CentroidDistance:
    """The Euclidean distance from an image's features to the nearest class centroid, [B] (Liu et al., 2019).

    The nearest one is found by matrix product; the distance to it is then taken directly, so it is exact, 0 included.
    """

    needs_centroids = True

    def __call__(self, outputs: Outputs) -> Tensor:
        if outputs.centroids is None:
            raise UserError("scorer centroid_distance needs class centroids, and this run has none; msp works without")
        features = at_least_single(outputs.features)
        centroids = outputs.centroids.to(features)
        if features.shape[1] != centroids.shape[1]:
            sizes = f"features have {features.shape[1]} dimensions, centroids {centroids.shape[1]}"
            raise UserError(f"scorer centroid_distance: {sizes}")
        rows = max(1, BLOCK // len(centroids))
        return torch.cat([_nearest_distance(block, centroids) for block in torch.split(features, rows)])


def _nearest_distance(features: Tensor, centroids: Tensor) -> Tensor:
    """The distances of a block of features [B, D] to the nearest of the centroids [C, D]."""
    centre = centroids.mean(dim=0)  # short vectors lose less in the product
    points, targets = features - centre, centroids - centre
    nearest = torch.addmm(targets.square().sum(dim=1) / 2, points, targets.T, alpha=-1).argmin(dim=1)
    distances: Tensor = torch.linalg.vector_norm(features - centroids[nearest], dim=1)
    return distances
