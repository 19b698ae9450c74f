"""Class-aware sampling: the classes in turn, a few images of each (Shen et al., 2016; Liu et al., 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from oltr.contracts import Progress, UserError
from oltr.samplers.class_cycles import ClassCycles, draws_an_epoch, shuffled_runs


class ClassAware:
    """Every class equally often, whatever its size: classes cycle in random order, and so do the images of each.

    A visit to a class draws ``images_per_class`` of its images, which repeat within the visit where it has fewer. Both
    kinds of cycle are shuffled anew at their end and go on from epoch to epoch. An epoch has ``epoch_images`` draws, by
    default as many as there are training images: the original plans ``full_pass`` but stops there.
    """

    def __init__(
        self,
        *,
        labels: Tensor,
        num_classes: int,
        generator: torch.Generator,
        images_per_class: int = 4,
        epoch_images: int | None = None,
    ) -> None:
        if images_per_class < 1:
            raise UserError(f"images_per_class is at least 1, not {images_per_class}")
        self._images = ClassCycles(labels=labels, num_classes=num_classes, generator=generator)
        self._classes = self._images.sizes.nonzero().flatten()  # those that have images
        self._generator = generator
        self._per_class = images_per_class
        self._length = draws_an_epoch(epoch_images, labels)
        self._to_visit = torch.empty(0, dtype=torch.int64)  # what is left of the current cycle of classes

    @property
    def full_pass(self) -> int:
        """Draws after which the largest class has been seen once: its size times the number of classes with images."""
        return int(self._images.sizes.max()) * len(self._classes)

    def indices(self, progress: Progress) -> Tensor:
        visits = -(-self._length // self._per_class)
        return self._images.take(self._visit(visits), images_each=self._per_class).flatten()[: self._length]

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self._generator.get_state(),
            "to_visit": self._to_visit.clone(),
            "images": self._images.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._images.load_state_dict(state["images"])
        self._to_visit = state["to_visit"].clone()
        self._generator.set_state(state["generator"])

    def _visit(self, visits: int) -> Tensor:
        """The next classes in turn, [visits]."""
        cycles = max(0, -(-(visits - len(self._to_visit)) // len(self._classes)))
        fresh = shuffled_runs(torch.full((cycles,), len(self._classes)), self._generator)
        turns = torch.cat([self._to_visit, self._classes[fresh % len(self._classes)]])
        self._to_visit = turns[visits:].clone()
        return turns[:visits]
