"""Random shift and mirror image, over a whole batch at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from oltr.contracts import UserError


class Shift:
    """Each image moved by up to ``padding`` pixels both ways with black coming in, and mirrored half of the time.

    Draws what a crop of the padded image at random, then a random horizontal flip, would (Cao et al., 2019).
    """

    def __init__(self, *, padding: int, flip: bool) -> None:
        if padding < 0:
            raise UserError(f"padding is 0 or more pixels, not {padding}")
        self._padding = padding
        self._flip = flip

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Of images [B, 3, H, W]; the generator lives on the CPU, wherever the images are."""
        if self._padding:
            offsets = torch.randint(2 * self._padding + 1, (2, len(images)), generator=generator)
            images = self._shifted(images, offsets.to(images.device, non_blocking=True))
        if self._flip:
            mirror = (torch.rand(len(images), generator=generator) < 0.5)[:, None, None, None]
            images = torch.where(mirror.to(images.device, non_blocking=True), images.flip(-1), images)
        return images

    def _shifted(self, images: Tensor, offsets: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        padded = functional.pad(images, [self._padding] * 4)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view, [B, 3, 2p + 1, 2p + 1, H, W]
        return windows[torch.arange(len(images), device=images.device), :, offsets[0], offsets[1]]


def check_size(size: int | None) -> None:
    if size is not None and size < 1:
        raise UserError(f"size is at least 1 pixel, not {size}")
