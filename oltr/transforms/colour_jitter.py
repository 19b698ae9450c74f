"""Random brightness, contrast and saturation, image by image over a whole batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from oltr.contracts import UserError

GREY = (0.2989, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601)."""
CHUNK = 4
"""Images worked on at a time on a CPU, where a whole batch would leave the cache at each step."""


class ColourJitter:
    """Factors drawn evenly from 1 - v to 1 + v for each image, their order for each batch; no change of hue.

    Like the usual jitter of single images, where the order too is drawn for each image (Krizhevsky et al., 2012).
    """

    def __init__(self, *, brightness: float, contrast: float, saturation: float) -> None:
        strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        for name, value in strengths.items():
            if value < 0:
                raise UserError(f"{name} is 0 (no change) or more, not {value:g}")
        self._adjust = (adjust_brightness, adjust_contrast, adjust_saturation)
        self._strengths = torch.tensor(list(strengths.values()), dtype=torch.float32)[:, None]

    def __call__(
        self, images: Tensor, generator: torch.Generator, finish: Callable[[Tensor], Tensor] = torch.Tensor.float
    ) -> Tensor:
        """Of uint8 images [B, 3, H, W], as float32 in [0, 1]; ``finish`` works on them in place, a chunk at a time.

        The generator lives on the CPU.
        """
        order = torch.randperm(3, generator=generator).tolist()
        spread = 2 * torch.rand(3, len(images), generator=generator) - 1
        factors = (1 + self._strengths * spread).clamp_(min=0).to(images.device, non_blocking=True)  # [3, B]
        chunk = CHUNK if images.device.type == "cpu" else max(1, len(images))
        jittered = torch.empty(images.shape, device=images.device)
        parts = zip(
            torch.split(images, chunk), torch.split(jittered, chunk), torch.split(factors, chunk, 1), strict=True
        )
        for stored, part, factor in parts:
            torch.mul(stored, 1 / 255, out=part)
            for which in order:
                if self._strengths[which] > 0:
                    self._adjust[which](part, factor[which])
            finish(part)
        return jittered


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Each image times its factor [B], in place, within [0, 1]."""
    return images.mul_(_per_image(factor)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Each image blended with the mean of its grey, in place: factor 0 is even grey, 1 the image itself."""
    mean = _grey(images.mean((2, 3)))  # [B]
    return images.mul_(_per_image(factor)).add_(_per_image((1 - factor) * mean)).clamp_(0, 1)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Each image blended with its grey, in place: factor 0 is the grey image, 1 the image itself."""
    grey = _grey(images).mul_((1 - factor)[:, None, None])  # [B, H, W]
    return images.mul_(_per_image(factor)).add_(grey[:, None]).clamp_(0, 1)


def _grey(images: Tensor) -> Tensor:
    """[B, 3, ...] -> [B, ...]"""
    red, green, blue = images.unbind(1)
    return (red * GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])


def _per_image(values: Tensor) -> Tensor:
    return values[:, None, None, None]
