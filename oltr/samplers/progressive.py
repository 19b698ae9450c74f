"""Progressively balanced sampling: from the classes as they are to all classes alike (Kang et al., 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from oltr.contracts import Progress
from oltr.samplers.class_odds import ClassOdds


class Progressive:
    """Each place goes to a class of n images out of N with probability (1 - t) n / N + t / K, t the run's fraction.

    K counts the classes that have images. The first epoch draws by size (it is no permutation), the last one evenly. An
    epoch has ``epoch_images`` draws, by default as many as there are training images.
    """

    def __init__(
        self, *, labels: Tensor, num_classes: int, generator: torch.Generator, epoch_images: int | None = None
    ) -> None:
        self._draws = ClassOdds(labels=labels, num_classes=num_classes, generator=generator, epoch_images=epoch_images)

    def indices(self, progress: Progress) -> Tensor:
        sizes = self._draws.sizes
        present = (sizes > 0).double()
        by_size, balanced = sizes / sizes.sum(), present / present.sum()
        return self._draws.draw(torch.lerp(by_size, balanced, progress.fraction))

    def state_dict(self) -> dict[str, Any]:
        return self._draws.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._draws.load_state_dict(state)
