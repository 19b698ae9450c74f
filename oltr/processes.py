"""The processes of a run under torchrun: which of them this is, and what they tell each other."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from oltr.contracts import RunError, Silence, UserError

PATIENCE = timedelta(hours=1)
"""How long a process waits for the others: the first may be decoding a whole data set."""

KEPT = "what earlier epochs saved is kept, and --resume goes on from there"

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process among all that work on a run: the only one, or one of a torchrun job on one machine or several."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether it is this one that writes and speaks."""
        return self.rank == 0

    def share(self, size: int, parts: int = 1) -> list[range]:
        """Of a batch of ``size`` rows worked on in ``parts``: this process's rows, a range for each part."""
        edges = _edges(0, size, parts)
        slices = [_edges(start, stop, self.count) for start, stop in pairwise(edges)]
        return [range(bounds[self.rank], bounds[self.rank + 1]) for bounds in slices]

    def once(self, work: Callable[[], Result]) -> Result:
        """What ``work`` gives in the first process, everywhere; its error ends them all."""
        if self.count == 1:
            return work()
        content: list[Any] = [None, None]
        failure: Exception | None = None
        if self.first:
            try:
                content[0] = work()
            except (UserError, OSError) as error:
                failure, content[1] = error, 2
            except Exception as error:
                failure, content[1] = error, 1
        with self._in_touch():
            dist.broadcast_object_list(content, src=0)
        if failure is not None:
            raise failure
        if content[1] is not None:
            raise Silence(content[1])
        return content[0]  # type: ignore[no-any-return]

    def one_first(self, work: Callable[[], Result]) -> Result:
        """``work`` done in every process: in the first one, then in the first of each machine, then in the others."""
        made: list[Result] = []
        self.once(lambda: made.append(work()))
        for turn in (self.local_rank == 0, True):
            if turn and not made:
                made.append(work())
            self.meet()
        return made[0]

    def meet(self) -> None:
        """Wait here for all the others."""
        if self.count > 1:
            with self._in_touch():
                dist.barrier()

    def gather(self, rows: Tensor) -> list[Tensor]:
        """The rows of every process, in order; they may differ in number, not in shape."""
        if self.count == 1:
            return [rows]
        with self._in_touch():
            sizes = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(self.count)]
            dist.all_gather(sizes, torch.tensor([len(rows)], device=rows.device))
            lengths = [int(size) for size in sizes]
            padded = rows.new_zeros(max(lengths), *rows.shape[1:])
            padded[: len(rows)] = rows
            found = [torch.empty_like(padded) for _ in range(self.count)]
            dist.all_gather(found, padded)
        return [block[:length] for block, length in zip(found, lengths, strict=True)]

    def agree(self, module: nn.Module) -> None:
        """Give every process the first one's parameters and buffers."""
        if self.count > 1:
            with self._in_touch(), torch.no_grad():
                for value in module.state_dict().values():
                    told = value.contiguous()  # what is sent must be, and channels-last weights are not
                    dist.broadcast(told, src=0)
                    value.copy_(told)

    def lost(self, error: RuntimeError) -> RunError | None:
        """An error of the others' being gone as one that says so; None for any other error."""
        words = str(error).lower()
        if self.count == 1 or not (
            isinstance(error, dist.DistError) or any(word in words for word in ("gloo", "nccl", "connection closed"))
        ):
            return None
        return RunError(
            f"process {self.rank} of {self.count} has lost touch with another, which died or was stopped "
            f"(its own message stands above, or on its machine); {KEPT}"
        )

    @contextmanager
    def _in_touch(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            lost = self.lost(error)
            if lost is None:
                raise
            raise lost from error


def _edges(start: int, stop: int, parts: int) -> list[int]:
    return [start + (stop - start) * part // parts for part in range(parts + 1)]


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """This process among those that torchrun has started, or alone: gloo between CPUs, nccl between GPUs."""
    count = int(os.environ.get("WORLD_SIZE", "1")) if dist.is_torchelastic_launched() else 1
    if count == 1:
        yield ALONE
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    before = signal.signal(signal.SIGTERM, _stop)
    processes = Processes(rank=dist.get_rank(), count=count, local_rank=int(os.environ.get("LOCAL_RANK", "0")))
    try:
        yield processes
    except RuntimeError as error:
        lost = processes.lost(error)
        if lost is None:
            raise
        raise lost from error
    else:
        dist.destroy_process_group()
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: object) -> None:
    """torchrun stops the others when a process has died."""
    raise RunError(
        f"process {os.environ.get('RANK')} was stopped by torchrun, because another one died "
        f"(its own message stands above, or on its machine); {KEPT}"
    )


ALONE = Processes()
"""The one process of a plain run."""
