"""Images of one size held in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class ArrayImages:
    """An image set over a uint8 tensor [N, C, h, w], C being 3, or 1 for grey images, which are read as RGB.

    The images are a tensor, not an array, since torch hands a tensor to its workers without a copy.
    """

    def __init__(self, *, images: Tensor, labels: NDArray[np.int64], ids: Sequence[str]) -> None:
        self.images = images
        self.labels = labels
        self.ids = ids

    def read(self, indices: Sequence[int]) -> list[Tensor]:
        """Copies, so that a transform may write to them."""
        return [
            self.images[int(index)].expand(3, -1, -1).clone(memory_format=torch.contiguous_format) for index in indices
        ]

    def take(self, indices: NDArray[np.int64], labels: NDArray[np.int64]) -> ArrayImages:
        """The images at ``indices``, with new labels."""
        ids = [self.ids[int(index)] for index in indices]
        return ArrayImages(images=self.images[torch.from_numpy(indices)], labels=labels, ids=ids)
