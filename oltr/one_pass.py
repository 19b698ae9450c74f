"""The form of torch's optimizers that updates all weights in one pass, `fused`: where it is taken, and on what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

KNOWN: tuple[Any, ...] = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
"""Those that have it on every device named below; others may mean something else by `fused`, or lack it on one."""
DEVICES = ("cpu", "cuda")
EXCLUSIVE = {"fused", "foreach", "differentiable"}
"""Of these a config chooses one itself."""


def option(
    optimizer: Any, device: torch.device, settings: Iterable[Mapping[str, Any]], weights: Iterable[Tensor]
) -> dict[str, bool]:
    """The option by which ``optimizer`` takes that form, or none where it cannot or the ``settings`` choose."""
    able = optimizer in KNOWN and device.type in DEVICES and all(weight.is_floating_point() for weight in weights)
    return {"fused": True} if able and not any(EXCLUSIVE & set(chosen) for chosen in settings) else {}


def lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Have what is restored lie in memory as the weights do, element by element, which `fused` takes for granted.

    A state that was saved beside a GPU may be channels-last where the CPU's weights are not: its elements would meet
    the wrong weights, and nothing would tell.
    """
    for weight, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                state[key] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
