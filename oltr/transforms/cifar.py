"""The transforms of the CIFAR long-tail recipe (Cao et al., 2019)."""

from __future__ import annotations

from collections.abc import Sequence

from oltr.transforms.normalise import CIFAR_MEAN, CIFAR_STD
from oltr.transforms.plain import Plain


class CifarTrain(Plain):
    """Random crop of the padded image, random mirror image, normalised; images of another size are resized first."""

    def __init__(
        self,
        *,
        size: int = 32,
        padding: int = 4,
        mean: Sequence[float] = CIFAR_MEAN,
        std: Sequence[float] = CIFAR_STD,
    ) -> None:
        super().__init__(size=size, padding=padding, flip=True, mean=mean, std=std)


class CifarTest(Plain):
    """The image as it is, normalised; images of another size are resized first."""

    def __init__(self, *, size: int = 32, mean: Sequence[float] = CIFAR_MEAN, std: Sequence[float] = CIFAR_STD) -> None:
        super().__init__(size=size, mean=mean, std=std)
