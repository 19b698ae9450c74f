"""Sets of known images to fit a scorer on, from usual to hard, and images like and unlike them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oltr.contracts import Head, Known, Outputs

LENGTH = 4.0
"""Of class means; features are spread about them by a tenth of it."""
Block = tuple[Outputs, Tensor]


@dataclass(kw_only=True)
class World:
    """A last layer, class means at right angles where there is room for them, and images drawn about them."""

    counts: list[int]
    means: Tensor  # [C, D]
    head: Head
    train: Tensor  # features [N, D]
    train_labels: Tensor  # [N]
    val: Tensor
    val_labels: Tensor
    clear: Tensor
    far: Tensor

    def outputs(self, features: Tensor, with_centroids: bool = False) -> Outputs:
        logits = torch.addmm(self.head.bias, features, self.head.weight.T)
        return Outputs(features, logits, self.means if with_centroids else None)

    @property
    def train_counts(self) -> NDArray[np.int64]:
        return np.array(self.counts, dtype=np.int64)

    def known(self, scorer: object, *, rows: int = 50) -> Known:
        """What a run gives this scorer, by what it says it needs, in blocks of so many images."""
        needs = {need for need in ("centroids", "head", "train", "val") if getattr(scorer, f"needs_{need}", False)}
        with_centroids = "centroids" in needs and "head" not in needs

        def blocks(features: Tensor, labels: Tensor, need: str) -> Callable[[], Iterator[Block]]:
            def read() -> Iterator[Block]:
                if need not in needs:
                    raise AssertionError(f"reads the {need} images without saying needs_{need} = True")
                for some, theirs in zip(torch.split(features, rows), torch.split(labels, rows), strict=True):
                    if len(some):
                        yield self.outputs(some, with_centroids), theirs

            return read

        return Known(
            train=blocks(self.train, self.train_labels, "train"),
            val=blocks(self.val, self.val_labels, "val"),
            centroids=self.means if "centroids" in needs else None,
            head=self.head if "head" in needs else None,
        )


def world(counts: list[int], feature_dim: int) -> World:
    """A world with so many training images of each class; features are not negative."""
    generator = torch.Generator().manual_seed(1)
    classes = len(counts)
    means = LENGTH * torch.eye(classes, feature_dim)
    if feature_dim < classes:
        means = LENGTH * torch.randn(classes, feature_dim, generator=generator).abs()
    far = torch.zeros(30, feature_dim)
    far[:, -1] = 2 * LENGTH  # at a right angle to all classes, where there is room

    def drawn(centres: Tensor) -> Tensor:
        return (centres + LENGTH / 10 * torch.randn(centres.shape, generator=generator)).abs()

    train_labels = torch.arange(classes).repeat_interleave(torch.tensor(counts))
    train_labels = train_labels[torch.randperm(len(train_labels), generator=generator)]
    val_labels = torch.arange(classes).repeat(6)
    clear_labels = train_labels[:30] if len(train_labels) else val_labels
    bias = torch.randn(classes, generator=generator) / 10
    return World(
        counts=counts,
        means=means,
        head=Head(means.clone(), bias),
        train=drawn(means[train_labels]),
        train_labels=train_labels,
        val=drawn(means[val_labels]),
        val_labels=val_labels,
        clear=drawn(means[clear_labels]),
        far=drawn(far),
    )


def usual(num_classes: int, feature_dim: int) -> World:
    """Long-tailed, with a dimension to spare."""
    return world(long_tail(num_classes), max(feature_dim, num_classes + 1))


def long_tail(num_classes: int) -> list[int]:
    """From 120 training images of a class down to 3."""
    return [round(120 * 40 ** (-rank / max(1, num_classes - 1))) for rank in range(num_classes)]


def hard(num_classes: int, feature_dim: int) -> Iterator[tuple[str, World]]:
    """Worlds in which something that a scorer may rely on is not there."""
    counts = long_tail(num_classes)
    yield "one training image in a class", world([*counts[:-1], 1], feature_dim)
    yield "a class without training images", world([*counts[:-1], 0], feature_dim)
    yield "no training image", world([0] * num_classes, feature_dim)
    yield "fewer images than dimensions", world([1] * num_classes, max(feature_dim, 2 * num_classes + 1))
    yield "fewer dimensions than classes", world(counts, max(1, num_classes // 2))
    yield "one dimension", world(counts, 1)
    yield "one class", world([20], feature_dim)
    for case, change in CHANGES.items():
        changed = world(counts, feature_dim)
        change(changed)
        yield case, changed


def _misplace_a_class(of: World) -> None:
    last = of.train_labels == len(of.counts) - 1
    of.train[last] = of.train[last] - of.means[-1] + of.means[0]


def _shift_labels(of: World) -> None:
    of.train_labels = (of.train_labels + 1) % len(of.counts)
    of.counts = of.train_labels.bincount(minlength=len(of.counts)).tolist()
    of.val_labels = (of.val_labels + 1) % len(of.counts)


def _set_all(value: float) -> Callable[[World], None]:
    def change(of: World) -> None:
        for features in (of.train, of.val, of.clear, of.means):
            features[:] = value

    return change


def _fix_a_dimension(of: World) -> None:
    for features in (of.train, of.val, of.clear, of.far, of.means):
        features[:, -1] = 1


def _drop_validation(of: World) -> None:
    of.val, of.val_labels = of.val[:0], of.val_labels[:0]


def _enlarge_logits(of: World) -> None:
    factor = 1e4 / of.outputs(of.train).logits.abs().max()
    of.head = Head(of.head.weight * factor, of.head.bias * factor)


def _enlarge_features(of: World) -> None:
    for features in (of.train, of.val, of.clear, of.far, of.means):
        features *= 1e3
    of.head = Head(of.head.weight / 1e3, of.head.bias)


CHANGES: dict[str, Callable[[World], None]] = {
    "no image of a class classified rightly": _misplace_a_class,
    "no image classified rightly": _shift_labels,
    "no validation image": _drop_validation,
    "constant features": _set_all(1.0),
    "features that are all 0": _set_all(0.0),
    "a constant feature": _fix_a_dimension,
    "logits up to 1e4": _enlarge_logits,
    "features of 1e3": _enlarge_features,
}
