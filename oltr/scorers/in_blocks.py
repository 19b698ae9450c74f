"""Scoring in blocks of images, so that what lies between outputs and scores stays small."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

ROWS = 4096
"""How many images are worked on at a time."""


def in_blocks(score: Callable[..., Tensor], *values: Tensor) -> Tensor:
    """``score`` of the values of each block of images, joined, [B]."""
    return torch.cat([score(*block) for block in zip(*(torch.split(value, ROWS) for value in values), strict=True)])
