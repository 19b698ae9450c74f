"""A batch in parts against the batch whole: losses by image, losses that see all of it, dropout, statistics."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from oltr.accumulation import Part, mean_in_parts, whole_in_parts
from oltr.contracts import Outputs, Progress, UserError
from oltr.losses.cross_entropy import CrossEntropy
from oltr.losses.disc_centroids import DiscCentroidsLoss
from oltr.networks.dot_product import DotProduct
from oltr.networks.pair import Memory, NetworkPair

START = Progress(epoch=0, epochs=1)


class Small(nn.Module):
    feature_dim = 4

    def __init__(self, *, dropout: float = 0.0, norm: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.norm(self.conv(images))
        features: Tensor = self.dropout(maps.relu().mean((2, 3)))
        return features


def made(**options: object) -> NetworkPair:
    torch.manual_seed(0)
    pair = NetworkPair(Small(**options), DotProduct(feature_dim=4, num_classes=3), Memory(num_classes=3, feature_dim=4))  # type: ignore[arg-type]
    assert pair.memory is not None
    nn.init.normal_(pair.memory.centroids)
    return pair.train()


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(10, 3, 5, 5, generator=generator), torch.randint(3, (10,), generator=generator)


def in_parts(*sizes: int) -> list[Part]:
    images, labels = batch()
    return list(zip(torch.split(images, list(sizes)), torch.split(labels, list(sizes)), strict=True))


def whole_batch(outputs: Outputs, target: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Cross-entropy beside the centroid loss: hinge over the batch, counts of its classes, a gradient of its own."""
    terms = [CrossEntropy()(outputs, target, START), DiscCentroidsLoss(margin=200.0)(outputs, target, START)]
    return terms[0] + 0.5 * terms[1], terms


def by_image(outputs: Outputs, target: Tensor) -> tuple[Tensor, list[Tensor]]:
    term = CrossEntropy(label_smoothing=0.1)(outputs, target, START)
    return 2 * term, [term]


def gradients(pair: NetworkPair) -> dict[str, Tensor]:
    return {name: value.grad.clone() for name, value in pair.named_parameters() if value.grad is not None}


def assert_equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(
            found[name], value, rtol=1e-5, atol=1e-7, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("sizes", [(5, 5), (4, 3, 3), (10,), (1, 9)])
def test_parts_add_up_to_the_whole(sizes: Sequence[int]) -> None:
    pair = made()
    total, terms = whole_batch(pair(batch()[0]), batch()[1])
    total.backward()  # type: ignore[no-untyped-call]
    wanted = gradients(pair)
    assert "memory.centroids" in wanted
    pair.zero_grad()
    found_total, found_terms = whole_in_parts(in_parts(*sizes), pair, whole_batch, pair)
    assert float(found_total) == pytest.approx(float(total.detach()), rel=1e-6)
    assert [float(term) for term in found_terms] == pytest.approx([float(term.detach()) for term in terms], rel=1e-6)
    assert_equal(gradients(pair), wanted)


@pytest.mark.parametrize("sizes", [(5, 5), (4, 3, 3), (10,), (1, 9)])
def test_losses_by_image_need_one_pass_only(sizes: Sequence[int]) -> None:
    pair = made()
    total, terms = by_image(pair(batch()[0]), batch()[1])
    total.backward()  # type: ignore[no-untyped-call]
    wanted = gradients(pair)
    pair.zero_grad()
    passes = []
    pair.backbone.register_forward_hook(lambda *_: passes.append(1))
    found_total, found_terms = mean_in_parts(in_parts(*sizes), pair, by_image)
    assert len(passes) == len(sizes)
    assert float(found_total) == pytest.approx(float(total.detach()), rel=1e-6)
    assert float(found_terms[0]) == pytest.approx(float(terms[0].detach()), rel=1e-6)
    assert_equal(gradients(pair), wanted)


def test_the_mean_of_parts_is_wrong_for_a_loss_that_sees_the_batch() -> None:
    """Why there are two ways: the published gradient of the centroids does not listen to a part's share."""
    pair = made()
    whole_in_parts(in_parts(5, 5), pair, whole_batch, pair)
    wanted = gradients(pair)["memory.centroids"]
    pair.zero_grad()
    mean_in_parts(in_parts(5, 5), pair, whole_batch)
    assert not torch.allclose(gradients(pair)["memory.centroids"], wanted, rtol=0.2)


def test_dropout_draws_once_and_statistics_move_once() -> None:
    pair, other = made(dropout=0.5, norm=True), made(dropout=0.5, norm=True)
    torch.manual_seed(5)
    whole_in_parts(in_parts(5, 5), pair, by_image, pair)
    after = torch.rand(1)
    torch.manual_seed(5)
    mean_in_parts(in_parts(5, 5), other, by_image)
    assert torch.equal(torch.rand(1), after)
    assert_equal(gradients(pair), gradients(other))
    for (name, left), (_, right) in zip(pair.named_buffers(), other.named_buffers(), strict=True):
        torch.testing.assert_close(left, right, msg=lambda text, name=name: f"{name}: {text}")


def test_a_loss_that_reaches_nothing_that_trains_is_refused() -> None:
    pair = made()
    pair.backbone.requires_grad_(False)

    def of_features(outputs: Outputs, target: Tensor) -> tuple[Tensor, list[Tensor]]:
        term = outputs.features.square().mean()
        return term, [term]

    with pytest.raises(UserError, match="no loss reaches what trains"):
        whole_in_parts(in_parts(5, 5), pair, of_features, pair)
