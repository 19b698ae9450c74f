"""OLTR's reachability."""

from __future__ import annotations

from torch import Tensor

from oltr.contracts import Outputs, UserError
from oltr.scorers.centroid_distance import CentroidDistance

MINIMUM_DISTANCE = 1e-3
"""The least distance that counts, as in the network: the reachability is at most 10,000."""


class Reachability:
    """10 over the distance to the nearest class centroid, negated, [B]: from -10,000 to 0 (Liu et al., 2019).

    It ranks as centroid_distance does, but for images within MINIMUM_DISTANCE of a centroid, which are all equal.
    """

    needs_centroids = True

    def __call__(self, outputs: Outputs) -> Tensor:
        if outputs.centroids is None:
            raise UserError("scorer reachability needs class centroids, and this run has none; msp works without")
        return -10 / CentroidDistance()(outputs).clamp(min=MINIMUM_DISTANCE)
