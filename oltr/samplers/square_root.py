"""Square-root sampling: half-way between the classes as they are and all classes alike (Mahajan et al., 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from oltr.contracts import Progress
from oltr.samplers.class_odds import ClassOdds


class SquareRoot:
    """Each place goes to a class with odds of the square root of its size, and to its images in cycles.

    An epoch has ``epoch_images`` draws, by default as many as there are training images.
    """

    def __init__(
        self, *, labels: Tensor, num_classes: int, generator: torch.Generator, epoch_images: int | None = None
    ) -> None:
        self._draws = ClassOdds(labels=labels, num_classes=num_classes, generator=generator, epoch_images=epoch_images)

    def indices(self, progress: Progress) -> Tensor:
        return self._draws.draw(self._draws.sizes.sqrt())

    def state_dict(self) -> dict[str, Any]:
        return self._draws.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._draws.load_state_dict(state)
