"""What a network may say of a batch, from usual to extreme."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from oltr.contracts import Outputs

IMAGES = 6


def batches(num_classes: int, feature_dim: int, with_centroids: bool) -> Iterator[tuple[str, Outputs]]:
    """Outputs for a few images by case; features and logits have nothing to do with each other."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(IMAGES, feature_dim, generator=generator)
    logits = torch.randn(IMAGES, num_classes, generator=generator)
    memory = torch.randn(num_classes, feature_dim, generator=generator)
    centroids = memory if with_centroids else None
    yield "random logits", Outputs(features, logits, centroids)
    yield "logits of ±1e4", Outputs(features, 1e4 * logits.sign(), centroids)
    yield "equal logits", Outputs(features, torch.zeros_like(logits), centroids)
    yield "constant features", Outputs(torch.ones_like(features), logits, centroids)
    if with_centroids:
        on_them = memory[torch.arange(IMAGES) % num_classes]
        yield "features that are centroids", Outputs(on_them, logits, memory)
        yield "centroids that are equal", Outputs(features, logits, torch.ones_like(memory))
    yield "one image", Outputs(features[:1], logits[:1], centroids)
