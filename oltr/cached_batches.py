"""Batches of cached values: a row of a tensor for each image, taken a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter

import torch
from torch import Tensor

from oltr.data.batches import steps_of
from oltr.feature_file import MEMORY
from oltr.training import Batch


class CachedBatches:
    """Values [views x N, ...] as batches on a device, in the manner of batches of images.

    An epoch sees one view of all images, the next epoch the next view, and after the last the first again.
    """

    def __init__(
        self,
        *,
        values: Tensor,
        labels: Tensor,
        batch_size: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        share: Callable[[int], Sequence[int]] = range,
    ) -> None:
        self.values = values
        self.batch_size = batch_size
        self.wait_seconds = 0.0
        self._labels = labels.to(device)
        self._device, self._dtype, self._share = device, dtype, share
        self._on_disk = values.device.type == "cpu" and values.nbytes > MEMORY

    def steps(self, images: int, *, drop_last: bool) -> int:
        return steps_of(images, self.batch_size, drop_last=drop_last)

    def epoch(
        self, indices: Tensor, *, epoch: int, drop_last: bool, steps: tuple[int, int] = (0, 1)
    ) -> Iterator[Batch]:
        """Values and labels on the device, and indices on the CPU, in order; nothing is drawn, so no step matters."""
        count = self.steps(len(indices), drop_last=drop_last)
        first = len(self._labels) * (epoch % (len(self.values) // len(self._labels)))
        for chunk in torch.split(indices[: count * self.batch_size], self.batch_size) if count else ():
            started = perf_counter()
            rows = self._share(len(chunk))
            mine = chunk if len(rows) == len(chunk) else chunk[torch.as_tensor(rows)]
            values = self._rows(mine + first).to(self._device, self._dtype, non_blocking=True)
            self.wait_seconds += perf_counter() - started
            yield values, self._labels.index_select(0, chunk.to(self._device)), chunk

    def _rows(self, wanted: Tensor) -> Tensor:
        """From a file in the order of the file, which spares the disk; from memory as they come."""
        if not self._on_disk:
            return self.values.index_select(0, wanted.to(self.values.device))
        ordered, order = wanted.sort()
        read = self.values.index_select(0, ordered)
        return torch.empty_like(read).index_copy_(0, order, read)
