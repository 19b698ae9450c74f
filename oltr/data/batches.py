"""Batches of a data set: read and shaped in workers, finished on the device."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from oltr.contracts import RunError, Transform, UserError
from oltr.data.split import ImageSet

STRIDE = 0x1E3779B97F4A7C15
"""Between the seeds of a batch's images: large and odd, so that those of two batches do not run side by side."""


class BatchPlan(NamedTuple):
    """Which images a batch holds, and where in the run it stands; ``rows`` are those of them that are wanted here."""

    epoch: int
    step: int
    indices: list[int]
    rows: Sequence[int]


class _Failure(NamedTuple):
    """An error of ours on its way from a worker: raised there, the loader would wrap it in a traceback."""

    kind: type[UserError | RunError]
    message: str


class Batches:
    """An image set as batches on a device; a batch depends on seed, epoch, step and its indices, not on ``workers``.

    Where several processes work on a batch, ``share`` tells of its size which rows this one does, and what it gets are
    just these rows of what a process alone would get. Workers start with the first epoch and stay. ``wait_seconds``
    sums up the time spent on getting data, which without workers is all of the reading. One epoch at a time: one that
    was left early is given up when the next begins.
    """

    def __init__(
        self,
        *,
        image_set: ImageSet,
        transform: Transform,
        batch_size: int,
        seed: int,
        device: torch.device,
        workers: int = 0,
        share: Callable[[int], Sequence[int]] = range,
    ) -> None:
        if batch_size < 1:
            raise UserError(f"batch_size is at least 1, not {batch_size}")
        if workers < 0:
            raise UserError(f"workers is 0 (read in the main process) or more, not {workers}")
        self.batch_size = batch_size
        self.wait_seconds = 0.0
        self._transform = transform
        self._seed = seed
        self._device = device
        self._share = share
        self._draws = False  # whether the transform was seen to draw for a batch as a whole
        self._labels = torch.as_tensor(image_set.labels)
        self._reader = _Reader(image_set=image_set, transform=transform, seed=seed)
        self._plans = _Plans()
        self._loader = self._start(workers) if workers else None

    def steps(self, images: int, *, drop_last: bool) -> int:
        """Number of batches in an epoch of so many images.

        ``drop_last`` is for training, where batch normalisation wants full batches (and cannot do with one image): it
        leaves out a last batch that is not full, unless it is the only one.
        """
        return steps_of(images, self.batch_size, drop_last=drop_last)

    def epoch(
        self, indices: Tensor, *, epoch: int, drop_last: bool, steps: tuple[int, int] = (0, 1)
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Images [B, 3, H, W] (float32) and labels [B] on the device, and their indices [B] on the CPU, in order.

        Of the images there are the rows of this process's share; labels and indices are of the whole batch. ``steps``
        tells the place in the epoch of the first batch and how many places on each next one is, where others do those
        between.
        """
        first, every = steps
        count = self.steps(len(indices), drop_last=drop_last)
        chunks = torch.split(indices[: count * self.batch_size], self.batch_size) if count else ()
        plans = [
            BatchPlan(epoch, first + every * place, chunk.tolist(), self._share(len(chunk)))
            for place, chunk in enumerate(chunks)
        ]
        raw = self._read(plans)
        for plan, chunk in zip(plans, chunks, strict=True):
            started = perf_counter()
            images = next(raw)
            self.wait_seconds += perf_counter() - started
            images = self._finished(images.to(self._device, non_blocking=True), plan)
            yield images, self._labels[chunk].to(self._device, non_blocking=True), chunk

    def _finished(self, images: Tensor, plan: BatchPlan) -> Tensor:
        """The transform's work on a batch.

        A transform that draws must draw for the whole batch, wherever the others of its images are: it gets a batch of
        full size, empty but for the rows that are here.
        """
        generator = torch.Generator().manual_seed(_seed_of(self._seed, plan, "batch"))
        if len(plan.rows) == len(plan.indices):
            return self._transform.batch(images, generator)
        rows = torch.as_tensor(plan.rows, device=images.device)
        if not self._draws:
            before = generator.get_state()
            finished = self._transform.batch(images, generator)
            self._draws = not torch.equal(before, generator.get_state())
            if not self._draws:
                return finished
            generator.set_state(before)
        whole = images.new_zeros(len(plan.indices), *images.shape[1:])
        whole[rows] = images
        return self._transform.batch(whole, generator)[rows]

    def _start(self, workers: int) -> DataLoader[Tensor | _Failure]:
        return DataLoader(
            self._reader,
            batch_size=None,
            sampler=self._plans,
            num_workers=workers,
            collate_fn=_unchanged,
            pin_memory=self._device.type == "cuda",
            persistent_workers=True,
            generator=torch.Generator(),  # its own: else every epoch would draw from the global one
        )

    def _read(self, plans: list[BatchPlan]) -> Iterator[Tensor]:
        """The uint8 batches of ``plans``, in order."""
        if self._loader is None:
            yield from map(self._reader.read, plans)
        elif plans:
            self._plans.plans = plans
            try:
                for images in self._loader:
                    if isinstance(images, _Failure):
                        raise images.kind(images.message)
                    yield images
            except RuntimeError as error:
                if str(error).startswith("DataLoader worker"):
                    raise RunError(f"a process that reads images died: {' '.join(str(error).split())}") from error
                raise


def steps_of(images: int, batch_size: int, *, drop_last: bool) -> int:
    """Batches of so many images; ``drop_last`` leaves out a last one that is not full, unless it is the only one."""
    if drop_last and images >= batch_size:
        return images // batch_size
    return -(-images // batch_size)


class _Plans(Sampler[BatchPlan]):
    """The batches of the current epoch, which a persistent loader asks for anew each time."""

    def __init__(self) -> None:
        self.plans: list[BatchPlan] = []

    def __iter__(self) -> Iterator[BatchPlan]:
        return iter(self.plans)

    def __len__(self) -> int:
        return len(self.plans)


class _Reader(Dataset["Tensor | _Failure"]):
    """Plan in, uint8 batch [B, 3, H, W] out: what runs in a worker."""

    def __init__(self, *, image_set: ImageSet, transform: Transform, seed: int) -> None:
        self._image_set = image_set
        self._transform = transform
        self._seed = seed

    def __getitem__(self, plan: BatchPlan) -> Tensor | _Failure:
        try:
            return self.read(plan)
        except (UserError, RunError) as error:
            return _Failure(type(error), str(error))

    def read(self, plan: BatchPlan) -> Tensor:
        stored = self._image_set.read([plan.indices[row] for row in plan.rows])
        shaped, first = [], _seed_of(self._seed, plan, "image")
        with torch.random.fork_rng(devices=[]):
            for row, image in zip(plan.rows, stored, strict=True):
                # The default generator's own method leaves the device's generator alone.
                torch.default_generator.manual_seed((first + row * STRIDE) % 2**63)
                shaped.append(self._transform.image(image))
        return _stacked(shaped)


def _stacked(images: Sequence[Tensor]) -> Tensor:
    sizes = sorted({tuple(image.shape) for image in images})
    if len(sizes) > 1:
        first, last = (" x ".join(map(str, size[1:])) for size in (sizes[0], sizes[-1]))
        raise UserError(f"one batch holds images of {first} and of {last}: give the transform a fixed `size`")
    return torch.stack(list(images))


def _seed_of(seed: int, plan: BatchPlan, purpose: str) -> int:
    """A seed of 63 bits, unrelated between any two places of a run."""
    text = f"{seed}/{plan.epoch}/{plan.step}/{purpose}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def _unchanged(item: Any) -> Any:
    return item
