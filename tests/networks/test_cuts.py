"""Residual networks cut in two: both halves together are the whole, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from oltr.networks.small_resnet import small_resnet10


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("cut", ["maps", "pooled"])
def test_the_halves_make_the_whole(cut: str, attention: bool) -> None:
    torch.manual_seed(0)
    network = small_resnet10(width=2, attention=attention, image_size=16).double().eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    images = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    values = network.until(cut, images)
    assert values.shape == ((3, 16, 2, 2) if cut == "maps" else (3, 16))
    torch.testing.assert_close(network.beyond(cut, values), network(images), rtol=0, atol=0)


@pytest.mark.parametrize("cut", ["maps", "pooled"])
def test_what_is_said_to_stand_beyond_a_cut_does_so_and_nothing_else(cut: str) -> None:
    """Other weights on one side of the cut change what is computed there, and on the other side do not."""
    torch.manual_seed(0)
    network = small_resnet10(width=2, attention=True, image_size=16).eval()
    torch.nn.init.normal_(network.modulatedatt.conv_mask.weight)  # type: ignore[union-attr]
    images = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        before = {"until": network.until(cut, images)}
        before["beyond"] = network.beyond(cut, before["until"])
        for name, child in network.named_children():
            for parameter in child.parameters():
                parameter.mul_(2)
            same_until = torch.equal(network.until(cut, images), before["until"])
            same_beyond = torch.equal(network.beyond(cut, before["until"]), before["beyond"])
            for parameter in child.parameters():
                parameter.div_(2)
            assert same_until or name not in network.cuts[cut], name
            assert same_beyond or name in network.cuts[cut], name
            if list(child.parameters()):
                assert same_until != same_beyond, name
