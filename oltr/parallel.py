"""Where a run computes: one device, every GPU of the machine by DataParallel, or a process each under torchrun."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from oltr.checkpoint import random_state, set_random_state
from oltr.contracts import Outputs, UserError
from oltr.networks.pair import NetworkPair
from oltr.processes import Processes

Forward = Callable[[Tensor], Outputs]


def choose_device(name: str) -> torch.device:
    """`cpu`, `cuda` (every GPU that the process sees), `cuda:N` (that one), or `auto`: cuda where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device: {name!r} is none of cpu, cuda, cuda:N, auto") from None
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device: {name!r} is none of cpu, cuda, cuda:N, auto")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("--device: there is no CUDA device here; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"--device: no {name}; this machine has {torch.cuda.device_count()} (cuda:0 on)")
    return device


def device_of_process(device: torch.device, processes: Processes) -> torch.device:
    """The device of this process alone: under torchrun the GPU of its number on the machine."""
    if device.type != "cuda":
        return device
    if processes.count == 1:
        torch.cuda.set_device(device.index or 0)
        return device
    if device != torch.device("cuda"):
        raise UserError(f"--device: each process under torchrun takes a GPU of its own; write cuda, not {device}")
    if processes.local_rank >= torch.cuda.device_count():
        raise UserError(
            f"torchrun started more processes than this machine has GPUs ({torch.cuda.device_count()}): "
            "lower --nproc-per-node"
        )
    torch.cuda.set_device(processes.local_rank)
    return torch.device("cuda", processes.local_rank)


def replicas(device: torch.device) -> int:
    """Over how many GPUs of this process each batch is split: `cuda` without a number means all."""
    return torch.cuda.device_count() if device == torch.device("cuda") else 1


def forward_on(pair: NetworkPair, device: torch.device) -> Forward:
    """The pair as a function of images, at rest or in training; several GPUs share each batch."""
    return pair if replicas(device) < 2 else replicated(pair)


def replicated(pair: NetworkPair, device_ids: list[int] | None = None) -> Forward:
    """The pair under DataParallel: features and logits are gathered, centroids stay one whole."""
    parallel = nn.DataParallel(_Embedding(pair), device_ids=device_ids)

    def forward(images: Tensor) -> Outputs:
        features, logits = parallel(images)
        return pair.outputs(features, logits)

    return forward


def distributed(pair: NetworkPair, device: torch.device, processes: Processes, *, synced: bool) -> Forward:
    """The pair in training under torchrun: a process's share of the images in, the outputs for the whole batch out.

    So every process computes the losses of the whole batch, whatever they are, and passes back the gradient of its own
    share; DistributedDataParallel adds these up. The memory is outside of it: its gradient is whole in each process.
    """
    network = _Network(pair)
    wrapped: list[nn.Module] = []  # with the first batch, which shows what takes part

    def forward(images: Tensor) -> Outputs:
        centroids = None if pair.memory is None else pair.memory.centroids.detach()
        if not wrapped:
            partial = any(processes.tell(network.has_idlers(images, centroids)))
            wrapped.append(_reduced(network, device, synced=synced, partial=partial))
        features, logits = wrapped[0](images, centroids)
        gathered = _Gathered.apply(torch.cat([features, logits], dim=1), processes)
        return pair.outputs(gathered[:, : features.shape[1]], gathered[:, features.shape[1] :])

    return forward


def _reduced(network: nn.Module, device: torch.device, *, synced: bool, partial: bool) -> nn.Module:
    """The network under DistributedDataParallel, if any of it trains."""
    if not any(parameter.requires_grad for parameter in network.parameters()):
        return network
    known = inspect.signature(DistributedDataParallel).parameters  # torch 2.15 has renamed one of them
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    options: dict[str, Any] = {buffers: not synced, "find_unused_parameters": partial}
    return DistributedDataParallel(network, device_ids=[device.index] if device.type == "cuda" else None, **options)


class _Embedding(nn.Module):
    """The part of a pair that may be replicated: its memory's gradients stay on the first device."""

    def __init__(self, pair: NetworkPair) -> None:
        super().__init__()
        self.pair = pair

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.pair.embed(images)


class _Network(nn.Module):
    """Backbone and classifier of a pair, without its memory."""

    def __init__(self, pair: NetworkPair) -> None:
        super().__init__()
        self.backbone, self.classifier = pair.backbone, pair.classifier
        self._pair = (pair,)  # in a tuple, so that its memory is no parameter of this module

    def forward(self, images: Tensor, centroids: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._pair[0].embed(images, centroids)

    def has_idlers(self, images: Tensor, centroids: Tensor | None) -> bool:
        """Whether there are parameters that train and that no output depends on; it leaves no trace."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        if not trained:
            return False
        kept, state = [buffer.clone() for buffer in self.buffers()], random_state()
        with torch.enable_grad():  # a batch in parts begins with a pass without gradients
            outputs = [found for found in self(images, centroids) if found.requires_grad]
            found = torch.autograd.grad([output.sum() for output in outputs], trained, allow_unused=True)
        set_random_state(state)
        with torch.no_grad():
            for buffer, value in zip(self.buffers(), kept, strict=True):
                buffer.copy_(value)
        return any(gradient is None for gradient in found)


class _Gathered(torch.autograd.Function):
    """The rows of all processes in order; back goes the gradient of the own rows, times the number of processes.

    That factor undoes the mean that DistributedDataParallel takes of gradients which are parts of a sum.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, processes: Processes) -> Tensor:
        blocks = processes.gather(rows)
        ctx.start, ctx.rows = sum(len(block) for block in blocks[: processes.rank]), len(rows)
        ctx.count = processes.count
        return torch.cat(blocks)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad[ctx.start : ctx.start + ctx.rows] * ctx.count, None
