"""The transform of small images whose orientation means something: characters, clothes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from oltr.pixels import colours_outermost, resized
from oltr.transforms.normalise import Normalise
from oltr.transforms.shift import Shift, check_size


class Plain:
    """Images resized where ``size`` says so, shifted and mirrored at random where asked for, and normalised."""

    def __init__(
        self,
        *,
        size: int | None = None,
        padding: int = 0,
        flip: bool = False,
        mean: Sequence[float] = (0.5,),
        std: Sequence[float] = (0.25,),
    ) -> None:
        check_size(size)
        self._size = size
        self._shift = Shift(padding=padding, flip=flip)
        self._normalise = Normalise(mean=mean, std=std)

    def image(self, image: Tensor) -> Tensor:
        if self._size is None or image.shape[-2:] == (self._size, self._size):
            return image
        return colours_outermost(resized(image, (self._size, self._size)))

    def batch(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return self._normalise.stored(self._shift(images, generator))
