"""Where a run computes: one device, or every GPU of the machine by DataParallel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from oltr.contracts import Outputs, UserError
from oltr.networks.pair import NetworkPair


class _Embedding(nn.Module):
    """The part of a pair that may be replicated: its memory's gradients stay on the first device."""

    def __init__(self, pair: NetworkPair) -> None:
        super().__init__()
        self.pair = pair

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.pair.embed(images)


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


def forward_on(pair: NetworkPair, device: torch.device) -> Callable[[Tensor], Outputs]:
    """The pair as a function of images; `cuda` without a number splits each batch over all GPUs."""
    if device != torch.device("cuda") or torch.cuda.device_count() < 2:
        return pair
    return replicated(pair)


def replicated(pair: NetworkPair, device_ids: list[int] | None = None) -> Callable[[Tensor], Outputs]:
    """The pair under DataParallel: features and logits are gathered, centroids stay one whole."""
    parallel = nn.DataParallel(_Embedding(pair), device_ids=device_ids)

    def forward(images: Tensor) -> Outputs:
        features, logits = parallel(images)
        return pair.outputs(features, logits)

    return forward
