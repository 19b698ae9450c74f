"""The transforms of the original for photographs, ImageNet-LT and Places-LT alike (Liu et al., 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from oltr.contracts import UserError
from oltr.pixels import colours_outermost, middle, resized
from oltr.transforms.colour_jitter import ColourJitter
from oltr.transforms.normalise import IMAGENET_MEAN, IMAGENET_STD, Normalise
from oltr.transforms.random_part import random_part
from oltr.transforms.shift import check_size


class ImageNetTrain:
    """A random part of the image at a random proportion, mirrored half of the time, colours jittered, normalised."""

    def __init__(
        self,
        *,
        size: int = 224,
        scale: Sequence[float] = (0.08, 1.0),
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        check_size(size)
        if len(scale) != 2 or not 0 < scale[0] <= scale[1] <= 1:
            raise UserError(f"scale is the least and largest share of the image, within 0 and 1, not {list(scale)}")
        self._size = [size, size]
        self._scale = tuple(scale)
        self._jitter = ColourJitter(brightness=brightness, contrast=contrast, saturation=saturation)
        self._normalise = Normalise(mean=mean, std=std)

    def compile(self) -> None:
        """Have the arithmetic on a batch compiled."""
        self._jitter.compile()

    def image(self, image: Tensor) -> Tensor:
        """What RandomResizedCrop and RandomHorizontalFlip draw and give, without what they cost beside the resizing."""
        shaped = colours_outermost(resized(random_part(image, self._scale), self._size))
        return shaped.flip(-1) if torch.rand(1) < 0.5 else shaped

    def batch(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return self._jitter(images, generator, *self._normalise.line(images.device))


class ImageNetTest:
    """The middle of the image, its shorter side brought to ``resize`` first, normalised."""

    def __init__(
        self,
        *,
        resize: int = 256,
        size: int = 224,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        check_size(size)
        if size > resize:
            raise UserError(f"size {size} does not fit into resize {resize}: resize is at least {size}")
        self._resize = resize
        self._size = size
        self._normalise = Normalise(mean=mean, std=std)

    def image(self, image: Tensor) -> Tensor:
        height, width = image.shape[1:]
        shorter = min(height, width)
        whole = resized(image, [length * self._resize // shorter for length in (height, width)])
        return colours_outermost(middle(whole, self._size))

    def batch(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return self._normalise.stored(images)
