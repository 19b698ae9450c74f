"""The split builder: any labelled set made long-tailed and, by holding classes out, open. Pure functions of labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import OPEN, UserError
from oltr.data.profiles import heights

Indices = NDArray[np.int64]

INDEX_RULES = ("cao", "first_n", "own")
_VAL_SHARE = 25


@dataclass(frozen=True, kw_only=True)
class LongTail:
    """How a set is cut. ``imbalance_factor`` None keeps every image that is not set aside for val or test."""

    imbalance_factor: float | None
    profile: str
    largest: int | None
    open_classes: int | Sequence[int]
    index_rule: str
    seed: int
    val_per_class: int | None
    """Validation images of each class; None is a twenty-fifth of the class's images, rounded up."""
    reserve_val: bool
    """Whether val images are set aside before the profile is laid, or taken from what it leaves."""
    test_per_class: int = 0

    def __post_init__(self) -> None:
        """What is wrong whatever the labels are is said before they are read."""
        heights(self.profile, 1, largest=1, factor=1)
        if self.imbalance_factor is not None and not 1 <= self.imbalance_factor < math.inf:
            raise UserError(f"imbalance_factor is 1 or more, not {self.imbalance_factor:g}")
        if self.index_rule not in INDEX_RULES:
            raise UserError(f"index_rule is one of {', '.join(INDEX_RULES)}, not {self.index_rule!r}")
        if self.seed < 0:
            raise UserError(f"seed is 0 or more, not {self.seed}")


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Where the images of a pool go, as indices into it; ``test`` covers held-out classes too."""

    train: Indices
    val: Indices
    test: Indices
    new_labels: Indices
    """The new label of each old class, OPEN where it is held out, [K]."""


def class_sizes(*, profile: str, num_classes: int, largest: int, imbalance_factor: float) -> Indices:
    """Training images of each class, [C], falling from ``largest`` to ``largest / imbalance_factor``, rounded down."""
    if not 1 <= imbalance_factor < math.inf:
        raise UserError(f"imbalance_factor is 1 or more, not {imbalance_factor:g}")
    sizes = [int(height) for height in heights(profile, num_classes, largest=largest, factor=imbalance_factor)]
    if sizes[-1] < 1:
        raise UserError(
            f"imbalance_factor {imbalance_factor:g} leaves classes without images: it is at most {largest} here, "
            "the size of the largest class"
        )
    return np.array(sizes, dtype=np.int64)


def class_orders(labels: Indices, *, num_classes: int, index_rule: str, seed: int) -> list[Indices]:
    """The indices of each class, in the order in which they are taken; a class takes a prefix.

    ``first_n`` is the order of the files. ``cao`` is one seeded shuffle after the other (Cao et al., 2019), for every
    class, so holding some out changes no other. ``own`` depends on seed and class alone.
    """
    if seed < 0:
        raise UserError(f"seed is 0 or more, not {seed}")
    starts = np.cumsum(np.bincount(labels, minlength=num_classes))[:-1]
    orders = np.split(np.argsort(labels, kind="stable").astype(np.int64), starts)
    if index_rule == "first_n":
        return orders
    if index_rule == "own":
        return [order[_permutation(len(order), seed, 1 + index)] for index, order in enumerate(orders)]
    if index_rule != "cao":
        raise UserError(f"index_rule is one of {', '.join(INDEX_RULES)}, not {index_rule!r}")
    if seed >= 2**32:
        raise UserError(f"index_rule cao takes a seed below 2**32, not {seed}")
    stream = np.random.RandomState(seed)
    for order in orders:
        stream.shuffle(order)
    return orders


def cut(labels: Indices, *, num_classes: int, tail: LongTail) -> Cut:
    """Lays the profile over the known classes, in the order of their labels.

    A class's order holds its training images first and its test images last, before these its val images: so train
    and val meet only where a class has no images to spare, and there it is val that gives way.
    """
    for option in ("val_per_class", "test_per_class", "largest"):
        value = getattr(tail, option)
        if value is not None and value < 0:
            raise UserError(f"{option} is 0 or more, not {value}")
    new_labels = _new_labels(num_classes, tail)
    known = np.flatnonzero(new_labels != OPEN)
    counts = np.bincount(labels, minlength=num_classes)
    val = -(-counts // _VAL_SHARE) if tail.val_per_class is None else np.full(num_classes, tail.val_per_class)
    stops = np.maximum(counts - tail.test_per_class, 0)
    limits = stops - val if tail.reserve_val else stops
    sizes = np.zeros(num_classes, dtype=np.int64)
    sizes[known] = _known_sizes(limits[known], known, tail)
    orders = class_orders(labels, num_classes=num_classes, index_rule=tail.index_rule, seed=tail.seed)
    starts = np.maximum(sizes, stops - val)
    return Cut(
        train=np.concatenate([orders[label][: sizes[label]] for label in known]),
        val=np.concatenate([orders[label][starts[label] : stops[label]] for label in known]),
        test=np.concatenate([order[stop:] for order, stop in zip(orders, stops, strict=True)]),
        new_labels=new_labels,
    )


def _known_sizes(limits: Indices, known: Indices, tail: LongTail) -> Indices:
    if limits.min() < 1:
        raise UserError(
            f"class {known[limits.argmin()]} has too few images: none are left for training "
            "beside those of test_per_class and, with reserve_val, val_per_class"
        )
    if tail.imbalance_factor is None:
        return limits
    sizes = class_sizes(
        profile=tail.profile,
        num_classes=len(known),
        largest=int(limits.min()) if tail.largest is None else tail.largest,
        imbalance_factor=tail.imbalance_factor,
    )
    short = np.flatnonzero(sizes > limits)
    if len(short):
        first = short[0]
        raise UserError(
            f"class {known[first]} has {limits[first]} images for training, the profile asks for {sizes[first]}: "
            "choose a smaller `largest`"
        )
    return sizes


def _new_labels(num_classes: int, tail: LongTail) -> Indices:
    held_out = tail.open_classes
    if isinstance(held_out, int):
        if not 0 <= held_out < num_classes:
            raise UserError(f"open_classes is from 0 to {num_classes - 1} of the {num_classes} classes, not {held_out}")
        held_out = _permutation(num_classes, tail.seed, 0)[:held_out].tolist()
    elif wrong := [label for label in held_out if not 0 <= label < num_classes]:
        raise UserError(f"open_classes names class {wrong[0]}, but the classes are 0 to {num_classes - 1}")
    is_known = np.ones(num_classes, dtype=bool)
    is_known[list(held_out)] = False
    if not is_known.any():
        raise UserError(f"open_classes holds out all {num_classes} classes: nothing is left to train on")
    return np.where(is_known, np.cumsum(is_known) - 1, OPEN)


def _permutation(count: int, seed: int, stream: int) -> Indices:
    """Sorts the generator's raw words, which numpy promises never to change, unlike ``permutation``."""
    if seed < 0:
        raise UserError(f"seed is 0 or more, not {seed}")
    words = np.random.Philox(np.random.SeedSequence([seed, stream])).random_raw(count)
    return np.argsort(words, kind="stable").astype(np.int64)
