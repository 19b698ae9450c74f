"""The part of an image that training sees: a random share of it, in random proportions, at a random place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

RATIOS = (3 / 4, 4 / 3)
"""The least and the largest of width to height (Szegedy et al., 2015)."""
LOG_RATIOS = torch.tensor(RATIOS).log().tolist()
TRIES = 10


def random_part(image: Tensor, scale: Sequence[float]) -> Tensor:
    """A view of an image [3, h, w]: from one seed what torchvision's RandomResizedCrop takes, drawn in half the time.

    ``scale`` is the least and the largest share. Where no draw fits, the middle in the nearest proportions.
    """
    height, width = image.shape[1:]
    share, log_ratio = torch.empty(1), torch.empty(1)
    for _ in range(TRIES):
        area = height * width * share.uniform_(*scale).item()
        ratio = log_ratio.uniform_(*LOG_RATIOS).exp_().item()
        wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            top, left = (int(torch.randint(room + 1, (1,))) for room in (height - high, width - wide))
            return image.narrow(1, top, high).narrow(2, left, wide)
    high, wide = min(height, round(width / RATIOS[0])), min(width, round(height * RATIOS[1]))
    return image.narrow(1, (height - high) // 2, high).narrow(2, (width - wide) // 2, wide)
