"""The precision that scores are computed in."""

from __future__ import annotations

from torch import Tensor


def at_least_single(values: Tensor) -> Tensor:
    """``values`` in single precision where they have less; double stays double."""
    return values if values.dtype.itemsize >= 4 else values.float()
