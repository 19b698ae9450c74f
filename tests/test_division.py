"""Where a pair is cut: behind all that is frozen, at the last place that the backbone offers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from oltr.contracts import UserError
from oltr.division import Division
from oltr.networks.dot_product import DotProduct
from oltr.networks.pair import NetworkPair
from oltr.networks.resnet import resnet10

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


class Plain(nn.Module):
    """A backbone of someone else's, without cuts."""

    feature_dim = 3

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Linear(3, 3)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.scale(images.mean((2, 3)))
        return features


def divided(backbone: nn.Module, trained: Sequence[str]) -> Division:
    torch.manual_seed(0)
    pair = NetworkPair(backbone, DotProduct(feature_dim=int(backbone.feature_dim), num_classes=4))  # type: ignore[arg-type]
    pair.train_only("backbone", trained)
    return Division(pair.eval(), trained)


@pytest.mark.parametrize(
    ("trained", "cut", "shape"),
    [
        (["modulatedatt"], "maps", [2, 512, 2, 2]),
        (["modulatedatt", "fc_add"], "maps", [2, 512, 2, 2]),
        (["fc_add"], "pooled", [2, 512]),
        ([], "features", [2, 512]),
    ],
)
def test_the_last_cut_that_serves_is_taken_and_both_sides_are_the_pair(
    trained: list[str], cut: str, shape: list[int]
) -> None:
    division = divided(resnet10(attention=True, fc=True, image_size=64), trained)
    values = division.until(IMAGES)
    assert division.cut == cut
    assert list(values.shape) == shape
    for left, right in zip(division.rest(values)[:2], division.pair(IMAGES)[:2], strict=True):
        assert torch.equal(left, right)
    children = {key.partition(".")[0] for key in division.frozen_state()}
    assert not children & set(trained)
    assert ("modulatedatt" in children) == (cut != "maps")
    assert ("fc_add" in children) == (cut == "features")


def test_a_backbone_without_cuts_is_cut_behind_its_end_or_not_at_all() -> None:
    division = divided(Plain(), [])
    assert torch.equal(division.until(IMAGES), division.pair.backbone(IMAGES))
    assert torch.equal(division.rest(division.until(IMAGES)).logits, division.pair(IMAGES).logits)
    with pytest.raises(
        UserError, match=r"the backbone's 'scale' trains, .*; it has no `cuts`, so write backbone.only: "
    ):
        divided(Plain(), ["scale"])


def test_a_layer_before_every_cut_is_named_with_those_beyond() -> None:
    with pytest.raises(UserError, match=r"'layer4' trains, .*; beyond its cuts stand avgpool, dropout, modulatedatt"):
        divided(resnet10(attention=True), ["modulatedatt", "layer4"])


def test_values_are_taken_in_the_precision_in_which_the_rest_computes() -> None:
    division = divided(resnet10(), [])
    assert division.taken(torch.bfloat16) == torch.float32
    division.pair.compute_in(torch.bfloat16, channels_last=False)
    assert division.until(IMAGES).dtype == torch.bfloat16
    assert division.taken(torch.bfloat16) == torch.bfloat16
    assert division.taken(torch.float16) == torch.float32
