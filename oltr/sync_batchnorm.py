"""Batch normalisation over all processes of a run: the statistics are those of the whole batch, however it is split."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from oltr.contracts import UserError

KNOWN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def synchronise(network: nn.Module, device: torch.device) -> None:
    """Let every BatchNorm of ``network`` take its statistics over all processes.

    The layers change their class and stay the objects that they are, so that whoever holds one still does. torch's own
    layer serves GPUs; it refuses CPUs, for which there is one below.
    """
    for name, module in network.named_modules():
        if type(module) in KNOWN:
            module.__class__ = nn.SyncBatchNorm if device.type == "cuda" else SyncedBatchNorm
            module.process_group = None
        elif isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm):
            raise UserError(
                f"compute.sync_batchnorm: {name} is a {type(module).__name__}, a batch normalisation of its own kind, "
                "whose statistics cannot be taken over all processes; set it to false"
            )


class SyncedBatchNorm(_BatchNorm):
    """Batch normalisation by the statistics of all processes together (Ioffe and Szegedy, 2015)."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"batch normalisation takes a batch of channels, not {list(input.shape)}")

    def forward(self, maps: Tensor) -> Tensor:
        if not self.training:  # each process has batches of its own then, and not as many as the others
            resting: Tensor = super().forward(maps)
            return resting
        values = maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps
        over = [dimension for dimension in range(values.dim()) if dimension != 1]
        shape = [1, -1, *[1] * (values.dim() - 2)]
        count = _Sum.apply(values.new_tensor([values.numel() / values.shape[1]]))
        mean = _Sum.apply(values.sum(over)) / count  # [C]
        centred = values - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(over)) / count  # [C]
        self._remember(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        scale = torch.rsqrt(variance + self.eps) * (1.0 if self.weight is None else self.weight)
        shift = 0.0 if self.bias is None else self.bias.view(shape)
        normalised: Tensor = (centred * scale.view(shape) + shift).to(maps.dtype)
        return normalised

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, where there are any; their variance is the unbiased one."""
        if self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked or 1) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


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
