"""Network pairs: what is frozen stays so, what is loaded fits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from oltr.contracts import UserError
from oltr.networks.pair import NetworkPair
from oltr.networks.weights import child_state, load_strict


class Tiny(nn.Module):
    def __init__(self, *, attention: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 1)
        self.bn1 = nn.BatchNorm2d(4)
        if attention:
            self.attention = nn.Conv2d(4, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.bn1(self.conv1(images)).mean((2, 3))


class Head(nn.Module):
    def forward(self, features: Tensor, centroids: Tensor | None) -> Tensor:
        return features


def test_frozen_children_keep_weights_and_statistics_in_training() -> None:
    pair = NetworkPair(Tiny(attention=True), Head())
    pair.train_only("backbone", ["attention"])
    before = {key: value.clone() for key, value in pair.state_dict().items()}
    pair.train()
    pair(torch.randn(8, 3, 2, 2))
    assert [name for name, value in pair.named_parameters() if value.requires_grad] == [
        "backbone.attention.weight",
        "backbone.attention.bias",
    ]
    assert all(torch.equal(value, before[key]) for key, value in pair.state_dict().items())
    assert pair.backbone.attention.training
    assert not pair.backbone.bn1.training


def test_an_unknown_child_is_named() -> None:
    with pytest.raises(UserError, match=r"backbone.only: the network has no child 'atention'; it has: conv1, bn1"):
        NetworkPair(Tiny(), Head()).train_only("backbone", ["atention"])


def test_only_what_is_listed_may_be_missing_or_left_over() -> None:
    torch.manual_seed(0)
    old, grown = Tiny(), Tiny(attention=True)
    load_strict(grown, old.state_dict(), "a file", new=["attention"])
    assert torch.equal(grown.conv1.weight, old.conv1.weight)
    with pytest.raises(
        UserError, match=r"lacks 2 \(first: attention.weight\); a child it may lack is listed as new: \[att"
    ):
        load_strict(grown, old.state_dict(), "a file")
    with pytest.raises(UserError, match=r"has besides 2 \(first: attention.weight\)"):
        load_strict(old, grown.state_dict(), "a file")
    load_strict(old, grown.state_dict(), "a file", unused=["attention"])
    with pytest.raises(UserError, match="new: the network has no child 'attenton'; it has: conv1, bn1, attention"):
        load_strict(grown, old.state_dict(), "a file", new=["attenton"])


def test_a_wrong_shape_is_named() -> None:
    state = {**Tiny().state_dict(), "conv1.bias": torch.zeros(5)}
    with pytest.raises(UserError, match=r"conv1.bias is \[5\] there and \[4\] here"):
        load_strict(Tiny(), state, "a file")


def test_a_refused_state_changes_nothing() -> None:
    module = Tiny()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = {key: value + 1 for key, value in module.state_dict().items()}
    state["conv1.bias"] = torch.zeros(5)
    with pytest.raises(UserError):
        load_strict(module, state, "a file")
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_child_state_drops_the_prefix_of_that_child_alone() -> None:
    state = {"a.x": torch.ones(1), "ab.x": torch.zeros(1), "a.a.x": torch.ones(2)}
    assert list(child_state(state, "a")) == ["x", "a.x"]
