"""The images of each class as an endless stream, which samplers that choose classes draw from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from oltr.contracts import UserError


class ClassCycles:
    """Per class, its images in random order, shuffled anew each time all of them have been drawn.

    Between two shuffles every image of the class is drawn once. Each stream goes on where the last ``take`` left it.
    Between draws it keeps four bytes an image, and four more once it has drawn.
    """

    def __init__(self, *, labels: Tensor, num_classes: int, generator: torch.Generator) -> None:
        if len(labels) == 0:
            raise UserError("the training set is empty: nothing to sample")
        if labels.min() < 0 or labels.max() >= num_classes:
            raise UserError(f"labels {int(labels.min())} to {int(labels.max())} do not fit {num_classes} classes")
        self.sizes = torch.bincount(labels, minlength=num_classes)  # [C]
        self._generator = generator
        small = torch.int32 if len(labels) < 1 << 31 else torch.int64  # four bytes an image
        self._by_class = labels.argsort(stable=True).to(small)  # [N], the images class by class
        self._begin = _exclusive_sum(self.sizes)  # [C], where a class begins in these
        self._order = self._by_class  # [N], the current cycle of each class
        self._drawn = self.sizes  # [C], images of it already drawn: all of them, so that the first draw shuffles

    def take(self, classes: Tensor, *, images_each: int = 1) -> Tensor:
        """For each visit to a class, the next images of that class: [V] -> [V, images_each]."""
        visits = torch.bincount(classes, minlength=len(self.sizes))
        end = self._drawn + visits * images_each  # [C], counted from the start of the current cycle
        cycles = -((self.sizes - end).clamp(max=0) // self.sizes.clamp(min=1))  # [C], how many more are begun
        pool = torch.cat([self._order, self._shuffled(cycles)])
        begin_new = len(self._order) + _exclusive_sum(cycles * self.sizes)  # [C], where a class's new cycles begin
        place = (self._drawn[classes] + _occurrence(classes) * images_each)[:, None] + torch.arange(images_each)
        is_new = place >= self.sizes[classes, None]
        taken = pool[place + torch.where(is_new, (begin_new - self.sizes)[classes, None], self._begin[classes, None])]
        begin_last = torch.where(cycles > 0, begin_new + (cycles - 1) * self.sizes, self._begin)
        moved = torch.repeat_interleave(begin_last - self._begin, self.sizes)  # [N], made anew: kept, it costs memory
        self._order = pool[moved.add_(torch.arange(len(self._order)))]
        self._drawn = end - cycles * self.sizes
        return taken.long()

    def state_dict(self) -> dict[str, Any]:
        return {"order": self._order.clone(), "drawn": self._drawn.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        order, drawn = state["order"], state["drawn"]
        if order.shape != self._order.shape or drawn.shape != self._drawn.shape:
            raise UserError(
                f"the sampler's state is of {len(order)} images in {len(drawn)} classes, "
                f"but the training set has {len(self._order)} in {len(self._drawn)}"
            )
        self._order, self._drawn = order.to(self._by_class.dtype, copy=True), drawn.clone()

    def _shuffled(self, cycles: Tensor) -> Tensor:
        """So many fresh cycles of each class, class by class, one after the other."""
        sizes = torch.repeat_interleave(self.sizes, cycles)  # [cycles in all]
        begin = torch.repeat_interleave(self._begin, cycles) - _exclusive_sum(sizes)
        return self._by_class[shuffled_runs(sizes, self._generator) + torch.repeat_interleave(begin, sizes)]


def shuffled_runs(sizes: Tensor, generator: torch.Generator) -> Tensor:
    """The places 0 to ``sizes.sum()`` with each run of ``sizes`` shuffled in itself, int64."""
    run = torch.repeat_interleave(sizes)
    keys = (run << 32) + torch.randint(1 << 32, (len(run),), generator=generator)
    return torch.from_numpy(np.argsort(keys.numpy()))  # several times as fast as torch's on a CPU


def draws_an_epoch(epoch_images: int | None, labels: Tensor) -> int:
    """The option ``epoch_images``, which is the number of training images where it is not given."""
    if epoch_images is not None and epoch_images < 1:
        raise UserError(f"epoch_images is at least 1, not {epoch_images}")
    return len(labels) if epoch_images is None else epoch_images


def _exclusive_sum(counts: Tensor) -> Tensor:
    return counts.cumsum(0) - counts


def _occurrence(classes: Tensor) -> Tensor:
    """How many earlier entries equal each entry, [V]."""
    ordered, order = classes.sort(stable=True)
    occurrence = torch.empty_like(classes)
    occurrence[order] = torch.arange(len(classes)) - _exclusive_sum(torch.bincount(classes))[ordered]
    return occurrence
