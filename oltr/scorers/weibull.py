"""The two-parameter Weibull distribution of distances."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SHAPES = (0.1, 100.0)
"""Where the search for a shape ends: distances that are all equal would have an infinite one."""
SMALLEST = 1e-6
"""The least distance that counts, as a share of the largest of its sample."""
TINY = 1e-12
"""The scale where all distances are 0."""
STEPS = 60


class Weibull(NamedTuple):
    """Distributions 1 - exp(-(d / scale)^shape), one for each class."""

    shape: Tensor  # [C]
    log_scale: Tensor  # [C]

    def cumulative(self, distances: Tensor, classes: Tensor) -> Tensor:
        """The share of each class's distribution below a distance, [B]."""
        excess = distances.log() - self.log_scale.to(distances)[classes]
        return -torch.expm1(-(self.shape.to(distances)[classes] * excess).clamp(max=50).exp())


def fitted(samples: Tensor) -> Weibull:
    """The most likely distribution for each row of distances [R, N]; NaN stands for none.

    The shape k solves sum x^k log x / sum x^k - mean log x = 1 / k, whose left side rises with k: found by halving. A
    row without distances has one that says nothing.
    """
    there = ~samples.isnan()
    count = there.sum(dim=1, keepdim=True).clamp(min=1)
    samples = samples.where(there, 0.0)
    largest = samples.amax(dim=1, keepdim=True).clamp(min=TINY)  # [R, 1]
    logs = (torch.maximum(samples, SMALLEST * largest) / largest).log()
    top = logs.amax(dim=1, keepdim=True)  # 0, but where all distances are
    logs = logs - top  # [R, N], at most 0
    mean = (logs * there).sum(dim=1, keepdim=True) / count
    low, high = (torch.full_like(mean, limit).log() for limit in SHAPES)
    for _ in range(STEPS):
        shape = ((low + high) / 2).exp()
        powers = (shape * logs).exp() * there
        above = (powers * logs).sum(dim=1, keepdim=True) / powers.sum(dim=1, keepdim=True) - mean > 1 / shape
        low, high = low.where(above, shape.log()), high.where(~above, shape.log())
    shape = ((low + high) / 2).exp()
    spread = ((shape * logs).exp() * there).sum(dim=1, keepdim=True) / count
    return Weibull(shape.squeeze(1), (largest.log() + top + spread.log() / shape).squeeze(1))
