"""Random brightness, contrast and saturation, image by image over a whole batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from oltr.contracts import UserError

GREY = (0.2989, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601)."""
Factor = Tensor | float
"""Of one image [3, H, W] a number, of a batch [B, 3, H, W] a tensor [B]."""


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
        self._active = [value > 0 for value in strengths.values()]

    def __call__(
        self, images: Tensor, generator: torch.Generator, finish: Callable[[Tensor], Tensor] = torch.Tensor.float
    ) -> Tensor:
        """Of uint8 images [B, 3, H, W], as float32 in [0, 1]; ``finish`` works on them in place, on one or on all.

        The generator lives on the CPU.
        """
        order = torch.randperm(3, generator=generator).tolist()
        spread = 2 * torch.rand(3, len(images), generator=generator) - 1
        factors = (1 + self._strengths * spread).clamp_(min=0)  # [3, B]
        jittered = torch.empty(images.shape, device=images.device)
        if images.device.type == "cpu":  # one after the other: a whole batch would leave the cache at each step
            for stored, image, own in zip(images, jittered, factors.T.tolist(), strict=True):
                finish(self._jittered(stored, image, order, own))
        else:
            there = list(factors.to(images.device, non_blocking=True))
            finish(self._jittered(images, jittered, order, there))
        return jittered

    def _jittered(self, stored: Tensor, images: Tensor, order: Sequence[int], factors: Sequence[Factor]) -> Tensor:
        images.copy_(stored).mul_(1 / 255)
        for which in order:
            if self._active[which]:
                self._adjust[which](images, factors[which])
        return images


def adjust_brightness(images: Tensor, factor: Factor) -> Tensor:
    """Each image times its factor, in place, within [0, 1]."""
    return _within(images.mul_(_broadcast(factor)), factor)


def adjust_contrast(images: Tensor, factor: Factor) -> Tensor:
    """Each image blended with the mean of its grey, in place: factor 0 is even grey, 1 the image itself."""
    mean = _grey(images.mean((-2, -1), keepdim=True))  # [..., 1, 1, 1]
    return _within(images.lerp_(mean, 1 - _broadcast(factor)), factor)


def adjust_saturation(images: Tensor, factor: Factor) -> Tensor:
    """Each image blended with its grey, in place: factor 0 is the grey image, 1 the image itself."""
    return _within(images.lerp_(_grey(images), 1 - _broadcast(factor)), factor)


def _grey(images: Tensor) -> Tensor:
    """[..., 3, h, w] -> [..., 1, h, w]"""
    red, green, blue = (images.narrow(-3, channel, 1) for channel in range(3))
    return (red * GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])


def _broadcast(factor: Factor) -> Factor:
    return factor if isinstance(factor, float) else factor[:, None, None, None]


def _within(images: Tensor, factor: Factor) -> Tensor:
    """The images within [0, 1], which a factor of at most 1 does not leave."""
    return images if isinstance(factor, float) and factor <= 1 else images.clamp_(0, 1)
