"""Random brightness, contrast and saturation, image by image over a whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from oltr.contracts import UserError

GREY = (0.2989, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601)."""
LEAST = 1e-12
"""Stands for a factor of 0, which could not be undone."""
Scale = Tensor | float


class ColourJitter:
    """Factors drawn evenly from 1 - v to 1 + v for each image, their order for each batch; no change of hue.

    Like the usual jitter of single images, where the order too is drawn for each image (Krizhevsky et al., 2012).
    """

    def __init__(self, *, brightness: float, contrast: float, saturation: float) -> None:
        strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        for name, value in strengths.items():
            if value < 0:
                raise UserError(f"{name} is 0 (no change) or more, not {value:g}")
        self._strengths = torch.tensor(list(strengths.values()), dtype=torch.float32)[:, None]
        self._active = [value > 0 for value in strengths.values()]

    def __call__(self, images: Tensor, generator: torch.Generator, scale: Scale = 1.0, shift: Scale = 0.0) -> Tensor:
        """Of uint8 images [B, 3, H, W], as float32: in [0, 1], then times ``scale`` plus ``shift``, [3, 1, 1] each.

        The generator lives on the CPU.
        """
        order = [which for which in torch.randperm(3, generator=generator).tolist() if self._active[which]]
        spread = 2 * torch.rand(3, len(images), generator=generator) - 1
        factors = (1 + self._strengths * spread).clamp_(min=LEAST)  # [3, B]
        jittered = torch.empty(images.shape, device=images.device)
        if images.device.type == "cpu":  # one after the other: a whole batch would leave the cache at each step
            for stored, image, own in zip(images, jittered, factors.T.tolist(), strict=True):
                _adjust(image.copy_(stored), order, own, scale, shift)
        else:
            there = factors.to(images.device, non_blocking=True)[..., None, None, None]
            _adjust(jittered.copy_(images), order, list(there), scale, shift)
        return jittered


def _adjust(images: Tensor, order: Sequence[int], factors: Sequence[Any], scale: Scale, shift: Scale) -> None:
    """Images of values up to 255, in place: the steps in their order, then times ``scale`` plus ``shift``."""
    steps = Adjusting(images)
    for which in order:
        (steps.brightness, steps.contrast, steps.saturation)[which](factors[which])
    images.mul_(steps.scale * scale).add_(steps.shift * scale + shift)


class Adjusting:
    """Images [..., 3, H, W] in [0, 1] as ``values * scale + shift``: what is even over an image costs no pass over it.

    A factor is, of one image, a number, and of a batch a tensor [B, 1, 1, 1]; so are ``scale`` and ``shift``.
    """

    def __init__(self, values: Tensor) -> None:
        """Of values up to 255, which are worked on in place."""
        self.values = values
        self.scale: Any = 1 / 255
        self.shift: Any = 0.0

    def brightness(self, factor: Any) -> None:
        """Times the factor."""
        self.scale, self.shift = self.scale * factor, self.shift * factor
        self._keep_within(factor)

    def contrast(self, factor: Any) -> None:
        """Blended with the mean of the grey: factor 0 is even grey, 1 the image itself."""
        mean = _grey(self.values.mean((-2, -1), keepdim=True))
        mean = (mean.item() if isinstance(factor, float) else mean) * self.scale + sum(GREY) * self.shift
        self.scale, self.shift = self.scale * factor, self.shift * factor + mean * (1 - factor)
        self._keep_within(factor)

    def saturation(self, factor: Any) -> None:
        """Blended with the grey: factor 0 is the grey image, 1 the image itself."""
        self.values.lerp_(_grey(self.values), 1 - factor)
        self.shift = self.shift * (factor + (1 - factor) * sum(GREY))
        self._keep_within(factor)

    def _keep_within(self, factor: Any) -> None:
        """In [0, 1], which a factor of at most 1 does not leave."""
        if not isinstance(factor, float) or factor > 1:
            self.values.clamp_(-self.shift / self.scale, (1 - self.shift) / self.scale)


def _grey(images: Tensor) -> Tensor:
    """[..., 3, h, w] -> [..., 1, h, w]"""
    red, green, blue = (images.narrow(-3, channel, 1) for channel in range(3))
    return (red * GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])
