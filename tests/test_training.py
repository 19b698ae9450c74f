"""The loop: what it minimises, what it schedules, when it stops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from oltr.contracts import Outputs, Progress, RunError
from oltr.networks.pair import Memory, NetworkPair
from oltr.training import Batch, EpochEnd, LossMeans, WeightedLoss, fit


class Scale(nn.Module):
    """A classifier of one weight: logits are the features times it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, features: Tensor, centroids: Tensor | None) -> Tensor:
        return features * self.weight


def mean_logit(outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
    return outputs.logits.mean()


def squared_centroids(outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
    assert outputs.centroids is not None
    return outputs.centroids.pow(2).sum()


def one_batch(progress: Progress) -> Iterable[Batch]:
    yield torch.full((2, 3), 1.0 + progress.epoch), torch.zeros(2, dtype=torch.long), torch.arange(2)


def trained(pair: NetworkPair, **changes: Any) -> Iterator[EpochEnd]:
    optimizer = changes.pop("optimizer", None) or torch.optim.SGD(pair.parameters(), lr=1.0)
    chosen: dict[str, Any] = {
        "network": pair,
        "forward": pair,
        "losses": [WeightedLoss(name="mean", loss=mean_logit)],
        "optimizer": optimizer,
        "settings": [{"lr": 0.5}],
        "batches": one_batch,
        "epochs": 3,
        **changes,
    }
    return fit(**chosen)


def test_a_step_follows_the_gradient_at_the_scheduled_rate() -> None:
    pair = NetworkPair(nn.Identity(), Scale())
    ends = list(trained(pair, settings=[{"lr": lambda progress: 0.5**progress.epoch}]))
    # d mean(x w) / d w = mean(x) = 1, 2, 3 at rates 1, 1/2, 1/4
    assert pair.classifier.weight.item() == pytest.approx(2 - 1 - 1 - 0.75)
    assert [end.settings[0]["lr"] for end in ends] == [1, 0.5, 0.25]
    # the loss as minimised: w x before each step
    assert [end.losses["total"] for end in ends] == pytest.approx([2.0, 2.0, 0.0])


def test_every_scalar_of_a_group_can_be_scheduled() -> None:
    pair = NetworkPair(nn.Identity(), Scale())
    optimizer = torch.optim.SGD(pair.parameters(), lr=1.0, weight_decay=0.0)
    decay = {"lr": 1.0, "weight_decay": lambda progress: 0.1 * progress.epoch}
    for _ in trained(pair, optimizer=optimizer, settings=[decay], epochs=2):
        pass
    # epoch 0: 2 - 1 = 1; epoch 1: 1 - (2 + 0.1 * 1)
    assert pair.classifier.weight.item() == pytest.approx(-1.1)


def test_losses_are_weighted_and_reported_apart() -> None:
    pair = NetworkPair(nn.Identity(), Scale(), Memory(num_classes=2, feature_dim=3))
    assert pair.memory is not None
    nn.init.ones_(pair.memory.centroids)
    losses = [
        WeightedLoss(name="mean", loss=mean_logit, weight=lambda progress: 1.0 - progress.fraction),
        WeightedLoss(name="centroids", loss=squared_centroids, weight=0.25),
    ]
    ends = list(trained(pair, losses=losses, epochs=2))
    assert ends[0].losses == pytest.approx({"total": 2 + 0.25 * 6, "mean": 2, "centroids": 6})
    # centroids: c - 0.5 * 0.25 * 2c twice; the weight of the mean is 0 in the last epoch
    assert torch.allclose(pair.memory.centroids, torch.full((2, 3), 0.75**2))
    assert pair.classifier.weight.item() == pytest.approx(1.5)


def test_the_classifier_passes_the_memory_no_gradient() -> None:
    class Nearest(nn.Module):
        def forward(self, features: Tensor, centroids: Tensor) -> Tensor:
            return features @ centroids.T

    pair = NetworkPair(nn.Linear(3, 3), Nearest(), Memory(num_classes=2, feature_dim=3))
    assert pair.memory is not None
    nn.init.ones_(pair.memory.centroids)
    outputs = pair(torch.ones(2, 3))
    outputs.logits.sum().backward()  # type: ignore[no-untyped-call]
    assert pair.memory.centroids.grad is None
    assert outputs.centroids is pair.memory.centroids


def test_gradients_are_clipped_by_their_norm_over_all_groups() -> None:
    pair = NetworkPair(nn.Identity(), Scale())
    for _ in trained(pair, settings=[{"lr": 1.0}], clip_norm=lambda progress: 0.1, epochs=1):
        pass
    assert pair.classifier.weight.item() == pytest.approx(1.9, abs=1e-5)


def test_break_stops_and_start_goes_on() -> None:
    whole = NetworkPair(nn.Identity(), Scale())
    list(trained(whole))
    parted = NetworkPair(nn.Identity(), Scale())
    for end in trained(parted):
        if end.progress.epoch == 0:
            break
    epochs = [end.progress.epoch for end in trained(parted, start=1)]
    assert epochs == [1, 2]
    assert parted.classifier.weight.item() == whole.classifier.weight.item()


def test_a_closure_that_is_called_twice_trains_like_sam() -> None:
    class Twice(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            closure()
            return super().step(closure)

    pair = NetworkPair(nn.Identity(), Scale())
    for _ in trained(pair, optimizer=Twice(pair.parameters(), lr=1.0), epochs=1):
        pass
    assert pair.classifier.weight.item() == pytest.approx(1.5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_run_with_its_name_and_place(value: float) -> None:
    means = LossMeans(["good", "bad"], Progress(epoch=4, epochs=9), read_every=2)
    fine, broken = torch.tensor(1.0), torch.tensor(value)
    means.add(fine, [fine, fine])
    means.add(fine, [fine, fine])
    means.add(broken, [fine, broken])
    with pytest.raises(RunError, match="epoch 5 of 9, steps 3 to 4: the loss 'bad' is not finite"):
        means.add(fine, [fine, fine])


def test_losses_are_read_once_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    means = LossMeans(["one"], Progress(epoch=0, epochs=1), read_every=4)
    reads = []
    real = Tensor.tolist
    monkeypatch.setattr(Tensor, "tolist", lambda tensor: reads.append(1) or real(tensor))
    for step in range(10):
        means.add(torch.tensor(float(step)), [torch.tensor(1.0)])
    assert len(reads) == 2
    assert means.read() == {"total": 4.5, "one": 1.0}
    assert len(reads) == 3
