"""Random brightness, contrast and saturation, image by image over a whole batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from oltr.contracts import UserError

GREY = (0.2989, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601)."""
LEAST = 1e-12
"""Stands for a factor of 0, which could not be undone."""
STEPS = ("brightness", "contrast", "saturation")
COMPILATIONS = 64
Scale = Tensor | float


class ColourJitter:
    """Factors drawn evenly from 1 - v to 1 + v for each image, their order for each batch; no change of hue.

    Like the usual jitter of single images, where the order too is drawn for each image (Krizhevsky et al., 2012).
    """

    def __init__(self, *, brightness: float, contrast: float, saturation: float) -> None:
        strengths = dict(zip(STEPS, (brightness, contrast, saturation), strict=True))
        for name, value in strengths.items():
            if value < 0:
                raise UserError(f"{name} is 0 (no change) or more, not {value:g}")
        self._strengths = torch.tensor(list(strengths.values()), dtype=torch.float32)[:, None]
        self._active = [value > 0 for value in strengths.values()]
        self._compiled = False

    def compile(self) -> None:
        """From now on use the formula as torch compiles it, for each order of the steps when it first comes."""
        self._compiled = True

    def __call__(self, images: Tensor, generator: torch.Generator, scale: Scale = 1.0, shift: Scale = 0.0) -> Tensor:
        """Of uint8 images [B, 3, H, W], as float32: in [0, 1], then times ``scale`` plus ``shift``, [3, 1, 1] each.

        The generator lives on the CPU.
        """
        order = [which for which in torch.randperm(3, generator=generator).tolist() if self._active[which]]
        spread = 2 * torch.rand(3, len(images), generator=generator) - 1
        factors = (1 + self._strengths * spread).clamp_(min=LEAST)  # [3, B]
        if self._compiled:
            steps = tuple(STEPS[which] for which in order)
            line = (torch.as_tensor(value, device=images.device).expand(3, 1, 1) for value in (scale, shift))
            return _compiled_formula()(images, steps, factors.to(images.device, non_blocking=True), *line)
        jittered = torch.empty(images.shape, device=images.device)
        if images.device.type == "cpu":  # one after the other: a whole batch would leave the cache at each step
            for stored, image, own in zip(images, jittered, factors.T.tolist(), strict=True):
                _adjust(image.copy_(stored), order, own, scale, shift)
        else:
            there = factors.to(images.device, non_blocking=True)[..., None, None, None]
            _adjust(jittered.copy_(images), order, list(there), scale, shift)
        return jittered


def formula(images: Tensor, order: Sequence[str], factors: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """What the steps make of uint8 images [B, 3, H, W] by ``factors`` [3, B], plainly.

    As it stands it passes over the images some twenty times; compiled, twice.
    """
    colours = [colour.float() for colour in images.unbind(1)]
    for step in order:
        factor = factors[STEPS.index(step), :, None, None]
        if step == "brightness":
            colours = [(colour * factor).clamp(0, 255) for colour in colours]
            continue
        grey = GREY[0] * colours[0] + GREY[1] * colours[1] + GREY[2] * colours[2]
        if step == "contrast":
            grey = grey.mean((-2, -1), keepdim=True)
        colours = [(colour * factor + grey * (1 - factor)).clamp(0, 255) for colour in colours]
    lines = zip(colours, scale, shift, strict=True)
    return torch.stack([colour * (factor / 255) + more for colour, factor, more in lines], dim=1)


@cache
def _compiled_formula() -> Callable[..., Tensor]:
    """One for all jitters, and none of their attributes: they are sent to workers.

    Torch gives up on a function that it has compiled eight times. Here are six orders, and each may be compiled again
    where gradients are off, or a batch has one image or as many as it has rows.
    """
    limits = torch._dynamo.config
    limit = "recompile_limit" if hasattr(limits, "recompile_limit") else "cache_size_limit"  # before torch 2.7
    setattr(limits, limit, max(COMPILATIONS, getattr(limits, limit)))
    return torch.compile(formula, dynamic=True)


def _adjust(images: Tensor, order: Sequence[int], factors: Sequence[Any], scale: Scale, shift: Scale) -> None:
    """Images of values up to 255, in place: the steps in their order, then times ``scale`` plus ``shift``."""
    steps = Adjusting(images)
    for which in order:
        getattr(steps, STEPS[which])(factors[which])
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
