"""The one training loop: a generator that yields at each epoch's end; the caller's ``for`` body is the hook."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from oltr.accumulation import Part, mean_in_parts, whole_in_parts
from oltr.contracts import Loss, Outputs, Progress, RunError, Scalar, UserError, at

Batch = tuple[Tensor, Tensor, Tensor]  # images [B, 3, H, W], labels [B], indices [B]
Split = Callable[[Tensor, Tensor], Sequence[Part]]


@dataclass(frozen=True, kw_only=True)
class WeightedLoss:
    """One term of the sum that is minimised."""

    name: str
    loss: Loss
    weight: Scalar = 1.0


@dataclass(frozen=True, kw_only=True)
class EpochEnd:
    """What an epoch was: mean losses as minimised, the group's settings in force, and what it took."""

    progress: Progress
    losses: Mapping[str, float]
    settings: Sequence[Mapping[str, float]]
    images: int
    seconds: float


def fit(
    *,
    network: nn.Module,
    forward: Callable[[Tensor], Outputs],
    losses: Sequence[WeightedLoss],
    optimizer: torch.optim.Optimizer,
    settings: Sequence[Mapping[str, Scalar]],
    batches: Callable[[Progress], Iterable[Batch]],
    epochs: int,
    start: int = 0,
    clip_norm: Scalar | None = None,
    split: Split | None = None,
    read_every: int = 50,
) -> Iterator[EpochEnd]:
    """Train epochs ``start`` to ``epochs``; ``settings`` are the scalars of each parameter group of the optimizer.

    ``split`` cuts a batch into the parts that are worked on one after the other.
    """
    for epoch in range(start, epochs):
        progress, began, images = Progress(epoch=epoch, epochs=epochs), time.perf_counter(), 0
        in_force = [{key: at(scalar, progress) for key, scalar in group.items()} for group in settings]
        for name, value in ((name, value) for group in in_force for name, value in group.items()):
            if name in ("lr", "weight_decay") and not value >= 0:
                raise UserError(f"{name} is 0 or more, not {value:g} in epoch {epoch + 1}")
        for group, values in zip(optimizer.param_groups, in_force, strict=True):
            group.update(values)
        backward = Backward(network, forward, losses, optimizer, progress, clip_norm, split, read_every)
        network.train()
        for inputs, target, _ in batches(progress):
            optimizer.step(partial(backward, inputs, target))  # type: ignore[arg-type]
            images += len(target)
        seconds = time.perf_counter() - began
        means = backward.means.read()
        yield EpochEnd(progress=progress, losses=means, settings=in_force, images=images, seconds=seconds)


class Backward:
    """The closure of an optimizer's step in one epoch: fresh gradients of the weighted sum of losses for a batch."""

    def __init__(
        self,
        network: nn.Module,
        forward: Callable[[Tensor], Outputs],
        losses: Sequence[WeightedLoss],
        optimizer: torch.optim.Optimizer,
        progress: Progress,
        clip_norm: Scalar | None,
        split: Split | None,
        read_every: int,
    ) -> None:
        self.network, self.forward, self.losses, self.split = network, forward, losses, split
        self.optimizer, self.progress = optimizer, progress
        self.by_image = all(getattr(term.loss, "mean_over_images", False) for term in losses)
        self.weights = [at(term.weight, progress) for term in losses]
        self.limit = None if clip_norm is None else at(clip_norm, progress)
        if self.limit is not None and not self.limit > 0:
            raise UserError(f"clip_norm is above 0, not {self.limit:g} in epoch {progress.epoch + 1}")
        self.means = LossMeans([term.name for term in losses], progress, read_every)

    def __call__(self, inputs: Tensor, target: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        if self.split is None:
            total, terms = self.summed(self.forward(inputs), target)
            total.backward()  # type: ignore[no-untyped-call]
        elif self.by_image:
            total, terms = mean_in_parts(self.split(inputs, target), self.forward, self.summed)
        else:
            total, terms = whole_in_parts(self.split(inputs, target), self.forward, self.summed, self.network)
        if self.limit is not None:
            parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.limit)
        self.means.add(total, terms)
        return total.detach()

    def summed(self, outputs: Outputs, target: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The weighted sum of the losses, and each of them."""
        terms = [term.loss(outputs, target, self.progress) for term in self.losses]
        total = torch.stack([weight * term for weight, term in zip(self.weights, terms, strict=True)]).sum()
        if not total.requires_grad:
            raise UserError("no loss reaches what trains: every parameter that the losses see is frozen by `only`")
        return total, terms


class LossMeans:
    """Means of the losses, summed on their device and read once an interval; one that is not finite ends the run."""

    def __init__(self, names: Sequence[str], progress: Progress, read_every: int) -> None:
        self.names = ["total", *names]
        self.progress = progress
        self.read_every = read_every
        self._steps = 0
        self._pending: Tensor | None = None
        self._sums = [0.0] * len(self.names)

    def add(self, total: Tensor, terms: Sequence[Tensor]) -> None:
        values = torch.stack([total.detach(), *(term.detach() for term in terms)]).double()
        self._pending = values if self._pending is None else self._pending + values
        self._steps += 1
        if self._steps % self.read_every == 0:
            self._collect()

    def read(self) -> dict[str, float]:
        """Mean of each loss over the steps so far."""
        self._collect()
        return {name: value / max(self._steps, 1) for name, value in zip(self.names, self._sums, strict=True)}

    def _collect(self) -> None:
        if self._pending is None:
            return
        self._sums = [old + new for old, new in zip(self._sums, self._pending.tolist(), strict=True)]
        self._pending = None
        broken = [name for name, value in zip(self.names, self._sums, strict=True) if not math.isfinite(value)]
        if broken:
            first = (self._steps - 1) // self.read_every * self.read_every + 1
            raise RunError(
                f"epoch {self.progress.epoch + 1} of {self.progress.epochs}, steps {first} to {self._steps}: the loss "
                f"{broken[-1]!r} is not finite; a lower lr, a warm-up or clip_norm may help; "
                "what earlier epochs saved is kept"
            )
