"""Training behind a frozen backbone: from cached values, and by running every image through it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.long_tail import long_tailed_labels
from benchmarks.rows import Case, Row
from oltr.cached_batches import CachedBatches
from oltr.contracts import Outputs, Progress
from oltr.division import Division
from oltr.networks.dot_product import DotProduct
from oltr.networks.pair import NetworkPair
from oltr.networks.residual import ResidualNetwork
from oltr.networks.resnet import resnet10, resnet152
from oltr.training import Batch, WeightedLoss, fit

CPU = torch.device("cpu")
LR, MOMENTUM = 0.1, 0.9


def attention_step(folder: Path, *, network: Callable[..., ResidualNetwork], batch: int, side: int) -> Case:
    """One step of a stage whose attention and classifier train."""
    backbone = network(attention=True, image_size=side)
    pair = NetworkPair(backbone, DotProduct(feature_dim=backbone.feature_dim, num_classes=365))
    pair.train_only("backbone", ["modulatedatt"])
    assert backbone.modulatedatt is not None
    nn.init.normal_(backbone.modulatedatt.conv_mask.weight, std=0.01)
    images, target = torch.randn(batch, 3, side, side), torch.randint(365, (batch,))
    measure_statistics(backbone, images)
    division, wanted = (
        Division(pair.train(), ["modulatedatt"]),
        [item for item in pair.parameters() if item.requires_grad],
    )
    with torch.no_grad():
        cached = CachedBatches(values=division.until(images), labels=target, batch_size=batch, device=CPU)

    def step(outputs: Outputs, labels: Tensor) -> list[Tensor]:
        loss = functional.cross_entropy(outputs.logits, labels)
        return [loss.detach(), *torch.autograd.grad(loss, wanted)]

    def ours() -> list[Tensor]:
        values, labels, _ = next(cached.epoch(torch.arange(batch), epoch=0, drop_last=True))
        return step(division.rest(values), labels)

    return Case(ours=ours, twin=lambda: step(pair(images), target), tolerance=1e-4)


def retrained_classifier(folder: Path, *, images: int, classes: int, feature_dim: int, batch: int, epochs: int) -> Case:
    """A linear classifier trained on pooled features, every epoch of it."""
    features, labels = (
        torch.randn(images, feature_dim),
        torch.from_numpy(long_tailed_labels(images=images, classes=classes)),
    )
    orders = [torch.randperm(images, generator=torch.Generator().manual_seed(epoch)) for epoch in range(epochs)]

    def started() -> tuple[NetworkPair, torch.optim.Optimizer]:
        torch.manual_seed(0)
        pair = NetworkPair(nn.Identity(), DotProduct(feature_dim=feature_dim, num_classes=classes))
        return pair, torch.optim.SGD(pair.parameters(), lr=LR, momentum=MOMENTUM)

    def ours() -> list[Tensor]:
        pair, optimizer = started()
        cached = CachedBatches(values=features, labels=labels, batch_size=batch, device=CPU)

        def batches(progress: Progress) -> Iterable[Batch]:
            return cached.epoch(orders[progress.epoch], epoch=progress.epoch, drop_last=True)

        ends = fit(
            network=pair,
            forward=pair,
            losses=[WeightedLoss(name="cross_entropy", loss=cross_entropy)],
            optimizer=optimizer,
            settings=[{"lr": LR}],
            batches=batches,
            epochs=epochs,
        )
        assert sum(1 for _ in ends) == epochs
        return [item.detach() for item in pair.parameters()]

    def twin() -> list[Tensor]:
        pair, optimizer = started()
        for order in orders:
            items = TensorDataset(features, labels)
            for inputs, target in DataLoader(items, batch_size=batch, sampler=order.tolist(), drop_last=True):
                optimizer.zero_grad()
                functional.cross_entropy(pair(inputs).logits, target).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        return [item.detach() for item in pair.parameters()]

    return Case(ours=ours, twin=twin, tolerance=1e-4)


@torch.no_grad()
def measure_statistics(backbone: nn.Module, images: Tensor) -> None:
    """Give BatchNorm the statistics of these images, without which a new deep network at rest has huge values."""
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    backbone.train()(images)


def cross_entropy(outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
    return functional.cross_entropy(outputs.logits, target)


STREAMED = "every image through the frozen backbone again"

ROWS = (
    *(
        Row(
            name=f"frozen_{network.__name__}",
            what=f"attention and classifier behind a frozen {network.__name__}, trained on cached maps: "
            "images of {side}, batch {batch}",
            twin=STREAMED,
            make=partial(attention_step, network=network),
            full={"batch": batch, "side": 224},
            tiny={"batch": 2, "side": 33},
            per="batch",
            heavy=network is resnet152,
        )
        for network, batch in ((resnet10, 32), (resnet152, 16))
    ),
    Row(
        name="retrained_classifier",
        what="a linear classifier trained on cached features: {epochs} epochs of {images:,} x {feature_dim}, "
        "{classes:,} classes, batch {batch}",
        twin="a data loader over the rows, one item at a time",
        make=retrained_classifier,
        full={"images": 115_000, "classes": 1000, "feature_dim": 512, "batch": 256, "epochs": 10},
        tiny={"images": 40, "classes": 4, "feature_dim": 3, "batch": 8, "epochs": 2},
        heavy=True,
    ),
)
