"""A network at rest, passed over whole image sets by all processes of a run together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from oltr import interruption
from oltr.cached_batches import CachedBatches
from oltr.contracts import NetworkScorer, Outputs
from oltr.data.batches import Batches
from oltr.networks.class_means import class_means
from oltr.networks.pair import NetworkPair
from oltr.parallel import forward_on
from oltr.processes import Processes
from oltr.training import Batch

Given = TypeVar("Given")


@dataclass(frozen=True, kw_only=True)
class Inference:
    """Passes of ``pair`` over image sets, without gradients and in order.

    Several processes take the batches in turn, and each of them is given all outputs: what is made of these is the same
    in all of them, and the same as in one.
    """

    pair: NetworkPair
    device: torch.device
    processes: Processes
    widths: tuple[int, int]
    """Of features and logits."""

    def outputs(
        self, batches: Batches | CachedBatches, labels: NDArray[np.int64], what: str
    ) -> Iterator[tuple[Outputs, Tensor, Tensor]]:
        """Outputs, labels and indices, batch by batch; ``what`` is the title of the bar."""
        known, forward = torch.as_tensor(labels), forward_on(self.pair, self.device)
        with torch.inference_mode():
            for indices, outputs in self._rounds(batches, len(labels), what, forward, self._gathered):
                yield outputs, known[indices].to(self.device), indices

    def scores(self, batches: Batches, count: int, scorer: NetworkScorer, what: str) -> Tensor:
        """What a scorer that runs the network gives each of ``count`` images, [N]; the network learns nothing of it."""
        scored = partial(scorer.score, forward_on(self.pair, self.device))
        with torch.no_grad():  # a scorer may turn gradients on, which inference_mode would not let it
            rounds = self._rounds(batches, count, what, scored, self._gathered_scores)
            return torch.cat([torch.empty(0), *(scores.cpu() for _, scores in rounds)])

    def values(
        self,
        batches: Batches,
        count: int,
        work: Callable[[Tensor], Tensor],
        what: str,
        *,
        epoch: int,
    ) -> Iterator[Tensor]:
        """What ``work`` makes of each batch of ``count`` images, on the CPU; ``epoch`` is the one whose draws hold."""
        with torch.inference_mode():
            for _, values in self._rounds(batches, count, what, work, self._gathered_values, epoch=epoch):
                yield values.cpu()

    def first(self, batches: Batches, work: Callable[[Tensor], Tensor]) -> Tensor:
        """What ``work`` makes of the first image, [1, ...]."""
        self.pair.eval()
        with torch.inference_mode():
            images, _, _ = next(batches.epoch(torch.zeros(1, dtype=torch.int64), epoch=0, drop_last=False))
            return work(images)

    def _rounds(
        self,
        batches: Batches | CachedBatches,
        count: int,
        what: str,
        work: Callable[[Tensor], Given],
        gathered: Callable[[Given | None], list[Given]],
        *,
        epoch: int = 0,
    ) -> Iterator[tuple[Tensor, Given]]:
        """Indices of each batch in order, and what some process made of it."""
        self.pair.eval()
        everyone = self.processes
        order = torch.split(torch.arange(count), batches.batch_size)
        mine = torch.cat([torch.empty(0, dtype=torch.int64), *order[everyone.rank :: everyone.count]])
        steps = (everyone.rank, everyone.count)
        found = self._own(batches.epoch(mine, epoch=epoch, drop_last=False, steps=steps), work)
        with tqdm(total=len(order), desc=what, leave=False, disable=None if everyone.first else True) as bar:
            for start in range(0, len(order), everyone.count):
                together = gathered(next(found, None))
                for indices, given in zip(order[start : start + everyone.count], together, strict=False):
                    yield indices, given
                    bar.update()

    def class_means(self, batches: Batches | CachedBatches, labels: NDArray[np.int64]) -> Tensor:
        """The mean feature of each class, [C, D]."""
        passed = self.outputs(batches, labels, "class means")
        return class_means(((outputs.features, known) for outputs, known, _ in passed), self.widths[1])

    def predicted(self, batches: Batches | CachedBatches, labels: NDArray[np.int64], what: str) -> NDArray[np.int64]:
        """The class of the largest logit of each image, [N]."""
        found = [outputs.logits.argmax(1).cpu() for outputs, _, _ in self.outputs(batches, labels, what)]
        return np.asarray(torch.cat(found).numpy(), dtype=np.int64)

    def _own(self, batches: Iterator[Batch], work: Callable[[Tensor], Given]) -> Iterator[Given]:
        for inputs, _, _ in batches:
            interruption.check()
            yield work(inputs)

    def _gathered(self, mine: Outputs | None) -> list[Outputs]:
        """The outputs of each process for its own batch, which the last in a round may lack."""
        if self.processes.count == 1:
            return [] if mine is None else [mine]
        width = self.widths[0]
        empty = torch.empty(0, sum(self.widths), device=self.device)
        rows = empty if mine is None else torch.cat([mine.features, mine.logits], dim=1)
        return [self.pair.outputs(block[:, :width], block[:, width:]) for block in self.processes.gather(rows)]

    def _gathered_scores(self, mine: Tensor | None) -> list[Tensor]:
        if self.processes.count == 1:
            return [] if mine is None else [mine]
        rows = torch.empty(0, 1, device=self.device) if mine is None else mine.float().unsqueeze(1)
        return [block.squeeze(1) for block in self.processes.gather(rows)]

    def _gathered_values(self, mine: Tensor | None) -> list[Tensor]:
        """As bytes, since not every way between processes knows every precision."""
        if self.processes.count == 1:
            return [] if mine is None else [mine]
        told = self.processes.tell(None if mine is None else (list(mine.shape[1:]), mine.dtype))
        shape, dtype = next(facts for facts in told if facts is not None)
        rows = torch.empty(0, *shape, dtype=dtype, device=self.device) if mine is None else mine
        raw = rows.contiguous().flatten(1).view(torch.uint8)
        return [block.view(dtype).reshape(-1, *shape) for block in self.processes.gather(raw)]
