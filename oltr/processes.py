"""The processes of a run under torchrun: which of them this is, and what they tell each other."""

from __future__ import annotations

import os
import re
import signal
import threading
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
from oltr.options import OptionError

PATIENCE = timedelta(hours=1)
"""How long a process waits for the others: the first may be decoding a whole data set."""

A_MOMENT = timedelta(seconds=2)

KEPT = "what earlier epochs saved is kept, and --resume goes on from there"

LOST = re.compile(r"/gloo/|NCCL|connection (closed|reset) by peer", re.IGNORECASE)
"""What torch's messages have in them when another process is gone."""

STOPPED_WORKER = re.compile(
    r"DataLoader worker .*killed by signal: Terminated|process that reads images died.*Terminated"
)
"""torchrun stops those that read images with the others, and sometimes before them."""

_STOPPED = threading.Event()

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
            except Exception as error:
                failure, content[1] = error, 2 if isinstance(error, UserError | OptionError) else 1
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

    def tell(self, fact: Any) -> list[Any]:
        """What each process says, in order."""
        if self.count == 1:
            return [fact]
        said: list[Any] = [None] * self.count
        with self._in_touch():
            dist.all_gather_object(said, fact)
        return said

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
                for value in (*module.parameters(), *module.buffers()):
                    told = value.contiguous()  # what is sent must be, and channels-last weights are not
                    dist.broadcast(told, src=0)
                    value.copy_(told)

    def told_by_first(self, error: Exception) -> bool:
        """Whether the first process says the very same of itself; it tells the others what it says."""
        store, said = dist.distributed_c10d._get_default_store(), str(error)
        try:
            if self.first:
                store.set("oltr/said", said)
                return False
            store.wait(["oltr/said"], A_MOMENT)
            return bool(store.get("oltr/said").decode() == said)
        except RuntimeError:
            return False  # it says nothing, or is gone

    def lost(self, error: Exception) -> RunError | None:
        """An error of the others' being gone as one that says so; None for any other error."""
        if self.count == 1:
            return None
        if _STOPPED.is_set() or STOPPED_WORKER.search(str(error)):
            return _stopped()
        if not isinstance(error, dist.DistError) and not LOST.search(str(error)):
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
    except (RuntimeError, RunError, UserError, OptionError) as error:
        failure = processes.lost(error) or error
        if processes.told_by_first(failure):
            raise Silence(2 if isinstance(failure, UserError | OptionError) else 1) from error
        raise failure from error
    else:
        dist.destroy_process_group()
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: object) -> None:
    """torchrun stops the others when a process has died, and all when the job is to end."""
    _STOPPED.set()
    raise _stopped()


def _stopped() -> RunError:
    return RunError(
        f"the run was told to stop: a process of it died (its own message stands above, or on its machine), "
        f"or the job was ended; {KEPT}"
    )


ALONE = Processes()
"""The one process of a plain run."""
