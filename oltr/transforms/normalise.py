"""From stored bytes to the numbers that a network takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from oltr.contracts import UserError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


class Normalise:
    """(pixel - mean) / std per channel, of pixels in [0, 1]."""

    def __init__(self, *, mean: Sequence[float], std: Sequence[float]) -> None:
        for name, values in (("mean", mean), ("std", std)):
            if len(values) not in (1, 3):
                raise UserError(f"{name} takes one number, or three for red, green and blue, not {len(values)}")
        if min(std) <= 0:
            raise UserError(f"std is above 0, not {min(std):g}")
        spread = torch.tensor(std, dtype=torch.float64).view(-1, 1, 1)
        self._scale = (1 / spread).float()
        self._shift = (-torch.tensor(mean, dtype=torch.float64).view(-1, 1, 1) / spread).float()

    def stored(self, images: Tensor) -> Tensor:
        """Of uint8 images [B, 3, H, W], as float32."""
        scale, shift = self.line(images.device)
        floats = torch.empty(images.shape, device=images.device)
        scale = scale / 255
        if images.device.type == "cpu":  # one after the other, which stay in the cache between the steps
            for stored, image in zip(images, floats, strict=True):
                image.copy_(stored).mul_(scale).add_(shift)
            return floats
        return floats.copy_(images).mul_(scale).add_(shift)

    def line(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """What a pixel in [0, 1] is multiplied by, and what is added, per channel [C, 1, 1]."""
        return self._scale.to(device, non_blocking=True), self._shift.to(device, non_blocking=True)
