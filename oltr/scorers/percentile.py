"""A percentile as an option, and the activations that lie above it."""

from __future__ import annotations

from torch import Tensor

from oltr.contracts import UserError


def checked_percentile(percentile: float, *, scorer: str) -> float:
    """``percentile`` where it is from 0 to below 100."""
    if not 0 <= percentile < 100:
        raise UserError(f"{scorer}: the percentile is a number from 0 to below 100, not {percentile:g}")
    return percentile


def largest(magnitudes: Tensor, percentile: float) -> tuple[Tensor, Tensor]:
    """Values and places of each row's activations above the percentile, [B, k]: at least one."""
    dimensions = magnitudes.shape[1]
    kept = max(1, dimensions - round(dimensions * percentile / 100))
    values, places = magnitudes.topk(kept, dim=1)
    return values, places


def sharpness(magnitudes: Tensor, above: Tensor) -> Tensor:
    """The sum of all activations over that of the largest, [B]: at least 1, and 1 where all are 0."""
    kept = above.sum(dim=1)
    ratio = magnitudes.sum(dim=1) / kept.where(kept > 0, 1)
    return ratio.clamp(min=1, max=LIMIT)


LIMIT = 60.0
"""The largest ratio that is told apart: e to this power still leaves room for single-precision logits."""
