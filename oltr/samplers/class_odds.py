"""Sampling by drawing a class for each place, and then an image of that class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from oltr.samplers.class_cycles import ClassCycles, draws_an_epoch


class ClassOdds:
    """Classes drawn independently with given odds, images of a class in cycles without replacement.

    Per class the images are then as even as they can be, which draws with replacement (Kang et al., 2020) are only in
    the mean; the odds of each place are the same.
    """

    def __init__(
        self, *, labels: Tensor, num_classes: int, generator: torch.Generator, epoch_images: int | None
    ) -> None:
        self._images = ClassCycles(labels=labels, num_classes=num_classes, generator=generator)
        self._generator = generator
        self._length = draws_an_epoch(epoch_images, labels)
        self.sizes = self._images.sizes.double()  # [C]

    def draw(self, odds: Tensor) -> Tensor:
        """An epoch of image indices for ``odds`` of the classes, [C], in proportion; 0 where a class has no image."""
        edges = (odds / odds.sum()).cumsum(0)
        places = torch.rand(self._length, generator=self._generator, dtype=torch.float64)
        last = int(odds.nonzero()[-1])  # rounding may leave the last edge a little below 1
        classes = torch.searchsorted(edges, places, right=True).clamp(max=last)
        return self._images.take(classes).flatten()

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state(), "images": self._images.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._images.load_state_dict(state["images"])
        self._generator.set_state(state["generator"])
