"""Dynamic meta-embedding: features enriched from a memory of class centroids (Liu et al., 2019)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from oltr.contracts import Head, UserError
from oltr.networks.cos_norm import CosNorm
from oltr.networks.distances import nearest_distance
from oltr.networks.inherit import listed, load_strictly

MINIMUM_DISTANCE = 1e-3
"""The least distance to a centroid that counts, so that the reachability is at most 10,000 and never infinite."""


class MetaEmbedding(nn.Module):
    """Logits [B, C] of features z [B, D] and centroids [C, D]: the cosine layer on ``r * (z + e * m)``.

    ``m`` is the memory's reading, ``e`` selects from it by feature, and the reachability ``r`` is 10 over the distance
    to the nearest centroid. Where a feature is a centroid the published code gives NaN; here the distance is at least
    MINIMUM_DISTANCE, below which it passes no gradient. Centroids come detached: the losses alone train the memory
    (Liu et al., 2019).
    """

    needs_memory = True

    def __init__(self, *, feature_dim: int, num_classes: int, scale: float = 16.0) -> None:
        super().__init__()
        self.fc_hallucinator = nn.Linear(feature_dim, num_classes)
        self.fc_selector = nn.Linear(feature_dim, feature_dim)
        self.cosnorm_classifier = CosNorm(feature_dim=feature_dim, num_classes=num_classes, scale=scale)

    def forward(self, features: Tensor, centroids: Tensor | None = None) -> Tensor:
        logits: Tensor = self.cosnorm_classifier(self.embedding(features, centroids))
        return logits

    def penultimate(self, features: Tensor, centroids: Tensor | None = None) -> Tensor:
        """What the cosine layer's weights act on: the meta-embedding at its squashed length, [B, D]."""
        return self.cosnorm_classifier.penultimate(self.embedding(features, centroids))

    def head(self) -> Head:
        return self.cosnorm_classifier.head()

    def embedding(self, features: Tensor, centroids: Tensor | None) -> Tensor:
        """The meta-embedding ``r * (z + e * m)``, [B, D]."""
        if centroids is None:
            raise UserError("meta_embedding reads a memory of class centroids: use it in a stage that has one")
        reachability = 10 / nearest_distance(features, centroids).clamp(min=MINIMUM_DISTANCE)  # [B]
        return reachability.unsqueeze(1) * (features + self.infuse(features, centroids))

    def infuse(self, features: Tensor, centroids: Tensor) -> Tensor:
        """What the memory adds to the features, ``e * m``, [B, D]."""
        reading = torch.softmax(self.fc_hallucinator(features), dim=1) @ centroids
        return torch.tanh(self.fc_selector(features)) * reading

    def inherit(self, state: Mapping[str, Tensor]) -> None:
        """Start from a predecessor of the same type, or from a linear one, whose weights then address the memory."""
        if state.keys() == {"fc.weight", "fc.bias"}:
            address = {key.removeprefix("fc."): value for key, value in state.items()}
            load_strictly(self.fc_hallucinator, address, part="meta_embedding's fc_hallucinator")
        elif state.keys() == self.state_dict().keys():
            load_strictly(self, state, part="meta_embedding")
        else:
            raise UserError(
                f"meta_embedding takes over fc.weight and fc.bias, or all of {listed(self.state_dict())}; "
                f"the stage before has {listed(state)}"
            )
