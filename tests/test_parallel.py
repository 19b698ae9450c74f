"""Devices by name; replicas that share one memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from oltr.contracts import UserError
from oltr.networks.pair import Memory, NetworkPair
from oltr.parallel import choose_device, forward_on, replicated


class Nearest(nn.Module):
    def forward(self, features: Tensor, centroids: Tensor) -> Tensor:
        return features @ centroids.T


def pair_with_memory() -> NetworkPair:
    torch.manual_seed(0)
    pair = NetworkPair(nn.Linear(3, 4), Nearest(), Memory(num_classes=5, feature_dim=4))
    assert pair.memory is not None
    nn.init.normal_(pair.memory.centroids)
    return pair


def test_auto_takes_what_there_is() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta", ""])
def test_an_unknown_device_lists_the_right_ones(name: str) -> None:
    with pytest.raises(UserError, match="is none of cpu, cuda, cuda:N, auto"):
        choose_device(name)


def test_a_device_that_is_not_there_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="there is no CUDA device here; use --device cpu"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"no cuda:2; this machine has 2"):
        choose_device("cuda:2")


def test_one_device_needs_no_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = pair_with_memory()
    assert forward_on(pair, torch.device("cpu")) is pair
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert forward_on(pair, torch.device("cuda:1")) is pair


class TwoReplicas(nn.Module):
    """DataParallel's contract on a CPU: each replica gets half a batch, results are joined."""

    def __init__(self, module: nn.Module, device_ids: object = None) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        halves = [self.module(half) for half in images.chunk(2)]
        return tuple(torch.cat(column) for column in zip(*halves, strict=True))


def test_replicas_give_the_outputs_and_gradients_of_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn, "DataParallel", TwoReplicas)
    images, results = torch.randn(6, 3), []
    for parallel in (False, True):
        pair = pair_with_memory()
        outputs = (replicated(pair) if parallel else pair)(images)
        assert pair.memory is not None
        assert outputs.centroids is pair.memory.centroids  # one whole [C, D], not one a replica
        (outputs.logits.square().sum() + outputs.centroids.square().sum()).backward()  # type: ignore[no-untyped-call]
        results.append([outputs.logits, *(parameter.grad for parameter in pair.parameters())])
    for one, two in zip(*results, strict=True):
        assert torch.allclose(one, two, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_real_replicas_give_the_outputs_of_one_device() -> None:
    pair = pair_with_memory().cuda()
    images = torch.randn(6, 3, device="cuda")
    assert torch.allclose(replicated(pair)(images).logits, pair(images).logits, atol=1e-5)
