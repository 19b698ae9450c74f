"""Batch normalisation over all processes of a run: the statistics are those of the whole batch, however it is split."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def synchronise(network: nn.Module) -> None:
    """Let every BatchNorm of ``network`` take its statistics over all processes.

    The layers change their class and stay the objects that they are, so that whoever holds one still does. torch's own
    layer serves GPUs; it refuses CPUs, for which there is one below.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            on_gpu = next(module.buffers()).is_cuda
            module.__class__ = nn.SyncBatchNorm if on_gpu else SyncedBatchNorm  # type: ignore[assignment]
            module.process_group = None  # type: ignore[assignment]


class SyncedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation by the statistics of all processes together (Ioffe and Szegedy, 2015)."""

    def forward(self, maps: Tensor) -> Tensor:
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(maps)
        values = maps.float()
        count = _Sum.apply(values.new_tensor([values.numel() / values.shape[1]]))
        mean = _Sum.apply(values.sum((0, 2, 3))) / count  # [C]
        centred = values - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / count  # [C]
        self._remember(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        scale = torch.rsqrt(variance + self.eps) * (1.0 if self.weight is None else self.weight)
        shift = 0.0 if self.bias is None else self.bias[:, None, None]
        normalised: Tensor = (centred * scale[:, None, None] + shift).to(maps.dtype)
        return normalised

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, of which the variance is the unbiased one."""
        assert self.running_mean is not None
        assert self.running_var is not None
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked or 1) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _summed(values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _summed(grad)


def _summed(values: Tensor) -> Tensor:
    total = values.contiguous().clone()
    dist.all_reduce(total)
    return total
