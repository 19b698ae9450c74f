"""Small public image sets, read whole and made long-tailed: what CIFAR and Fashion-MNIST share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from oltr.contracts import UserError
from oltr.data.array_images import ArrayImages
from oltr.data.long_tail import LongTail
from oltr.data.long_tailed_splits import long_tailed_splits
from oltr.data.manifest import digest
from oltr.data.split import DataCheck, Splits


class Source(NamedTuple):
    """A balanced data set as published."""

    train: ArrayImages
    test: ArrayImages
    class_names: tuple[str, ...]


class LongTailedArrays(ABC):
    """A balanced data set whose training images are cut to a long tail and whose held-out classes are the open set.

    Defaults give the published training sets. Validation images come from the training images that the tail leaves
    over, never from the test set: classes that use all theirs have fewer, or with ``reserve_val`` all have as many.
    """

    title: ClassVar[str]
    folders: ClassVar[tuple[str, ...]]
    """Where the files may lie below the root."""
    needed: ClassVar[tuple[str, ...]]
    num_classes: ClassVar[int]
    num_train: ClassVar[int]
    num_test: ClassVar[int] = 10_000

    def __init__(
        self,
        *,
        root: Path | None,
        imbalance_factor: float = 100.0,
        profile: str = "exponential",
        largest: int | None = None,
        open_classes: int | Sequence[int] = 0,
        index_rule: str = "cao",
        seed: int = 0,
        val_per_class: int | None = None,
        reserve_val: bool = False,
    ) -> None:
        self.root = root
        self.tail = LongTail(
            imbalance_factor=imbalance_factor,
            profile=profile,
            largest=largest,
            open_classes=open_classes,
            index_rule=index_rule,
            seed=seed,
            val_per_class=val_per_class,
            reserve_val=reserve_val,
        )

    @abstractmethod
    def read(self) -> Source:
        """The whole data set; UserError where a file is missing or broken."""

    def splits(self) -> Splits:
        return self._cut(self.read())

    def check(self) -> DataCheck:
        found = [self.find(name) for name in self.needed]
        lines = [
            f"{name}: MISSING, needed" if path is None else f"{path}: found"
            for name, path in zip(self.needed, found, strict=True)
        ]
        if not all(found):
            return DataCheck(lines=(*lines, f"looked in {self.tried}"), ok=False)
        try:
            source = self.read()
            splits = self._cut(source)
        except UserError as error:
            return DataCheck(lines=(*lines, str(error)), ok=False)
        remarks, ok = self._compared(source)
        return DataCheck(lines=(*lines, *remarks, *_described(splits)), ok=ok)

    def find(self, name: str) -> Path | None:
        return next((place / name for place in self._places if (place / name).is_file()), None)

    def file(self, name: str) -> Path:
        """The needed file of that name."""
        path = self.find(name)
        if path is None:
            raise UserError(f"{self.title} needs {name}, which is not in {self.tried}")
        return path

    @property
    def tried(self) -> str:
        return " or ".join(map(str, self._places))

    @property
    def _places(self) -> list[Path]:
        if self.root is None:
            raise UserError(f"{self.title} lies in files of yours: say where with --data-root D")
        return [Path(self.root) / folder for folder in self.folders]

    def _cut(self, source: Source) -> Splits:
        held = (source.train, source.test)
        return long_tailed_splits(
            kind=type(self).__name__,
            source=digest(*(array for images in held for array in (images.images.numpy(), images.labels))),
            class_names=source.class_names,
            tail=self.tail,
            pool=source.train,
            test=source.test,
        )

    def _compared(self, source: Source) -> tuple[list[str], bool]:
        lines = []
        ok = True
        for split, images, wanted in (("train", source.train, self.num_train), ("test", source.test, self.num_test)):
            counts = np.bincount(images.labels, minlength=self.num_classes)
            same = len(images.labels) == wanted and bool((counts == wanted // self.num_classes).all())
            ok = ok and same
            published = f"published are {wanted:,} of {self.num_classes} classes, as many of each"
            lines.append(f"{split}: {len(images.labels):,} images{', as published' if same else '; ' + published}")
        return lines, ok


def _described(splits: Splits) -> list[str]:
    counts = splits.train_counts
    return [
        f"long-tailed train: {counts.sum():,} images of {splits.num_classes} classes, {counts.max():,} to "
        f"{counts.min():,} a class",
        f"val: {len(splits.val.labels):,} images of {len(np.unique(splits.val.labels))} classes, not used in training",
        f"test: {len(splits.test.labels):,} images",
        "open: no class is held out (open_classes), so there is no open-set evaluation"
        if splits.open is None
        else f"open: {len(splits.open.labels):,} images of the held-out classes",
    ]
