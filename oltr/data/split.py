"""The types that a data set is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from oltr.contracts import UserError


class ImageSet(Protocol):
    """Labelled images that are read by index. Cheap to pickle: it goes to the workers."""

    labels: NDArray[np.int64]
    """Class of each image, [N]; OPEN for images of no known class."""
    ids: Sequence[str]
    """A name for each image, unique in the set, that stays the same from run to run."""

    def read(self, indices: Sequence[int]) -> list[Tensor]:
        """The images at ``indices``, uint8 [3, h, w] each; one that cannot be read raises UserError naming it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Splits:
    """One benchmark: a long-tailed training set, validation and test sets, and an open set or the lack of one.

    Where a data set has both, ``open`` is the near open set, of images like the known ones, and ``far`` that of images
    unlike them all. ``open_val`` holds open images for choosing a threshold: classes that no other set has.
    """

    train: ImageSet
    val: ImageSet
    test: ImageSet
    open: ImageSet | None
    class_names: tuple[str, ...]
    far: ImageSet | None = None
    open_val: ImageSet | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """What the splits were made from, as plain data; ``sha256`` identifies the split on any machine."""

    def __post_init__(self) -> None:
        for name in ("train", "val", "test"):
            labels = getattr(self, name).labels
            if len(labels) == 0:
                raise UserError(f"the {name} set is empty")
            if labels.min() < 0 or labels.max() >= self.num_classes:
                span = f"{labels.min()} to {labels.max()}"
                raise UserError(f"the {name} set has labels {span}, but there are {self.num_classes} classes")

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @cached_property
    def train_counts(self) -> NDArray[np.int64]:
        """Training images of each class, [C]."""
        return np.bincount(self.train.labels, minlength=self.num_classes).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class DataCheck:
    """What `oltr data check` found: lines to print, and whether the data set can be used as it is."""

    lines: tuple[str, ...]
    ok: bool


class DataSet(Protocol):
    """A benchmark as a part: built from its options and the given ``root``, which is None where the user names none."""

    def splits(self) -> Splits:
        """The benchmark itself; reads lists and labels, no images."""
        ...

    def check(self) -> DataCheck:
        """Which files are needed, found and missing; counts, and how they compare with published facts."""
        ...
