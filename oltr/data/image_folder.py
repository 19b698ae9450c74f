"""Image sets of one folder a class, as torchvision's ImageFolder reads them."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from oltr.contracts import OPEN, UserError
from oltr.data.image_files import ImageFiles, Paths
from oltr.data.long_tail import LongTail
from oltr.data.long_tailed_splits import long_tailed_splits
from oltr.data.split import DataCheck, Splits

_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif"))


class ImageFolder:
    """``train/<class>/…``, with or without ``val``, ``test`` and ``open`` beside it; or only folders ``<class>/…``.

    Without ``val`` its images come from training (``val_per_class``, ``reserve_val``), and without ``test`` so do
    ``test_per_class`` images of each class. With an ``imbalance_factor`` training images are cut to a long tail;
    without one the tail is as it is. Images below ``open``, and the test images of held-out classes, are the open set.
    """

    def __init__(
        self,
        *,
        root: Path | None,
        folder: str = ".",
        imbalance_factor: float | None = None,
        profile: str = "exponential",
        largest: int | None = None,
        open_classes: int | Sequence[int] = 0,
        index_rule: str = "own",
        seed: int = 0,
        val_per_class: int | None = None,
        reserve_val: bool = True,
        test_per_class: int = 0,
    ) -> None:
        self.root = root
        self.folder = folder
        self.tail = LongTail(
            imbalance_factor=imbalance_factor,
            profile=profile,
            largest=largest,
            open_classes=open_classes,
            index_rule=index_rule,
            seed=seed,
            val_per_class=val_per_class,
            reserve_val=reserve_val,
            test_per_class=test_per_class,
        )

    def splits(self) -> Splits:
        top = self._top
        has_parts = _has_folders(top / "train")  # a class may be called train as well: it holds images
        classes = _folders(top / "train" if has_parts else top)
        pool = _labelled(top, "train" if has_parts else "", classes)
        val = _labelled(top, "val", classes) if has_parts and (top / "val").is_dir() else None
        test = _labelled(top, "test", classes) if has_parts and (top / "test").is_dir() else None
        strangers = _unlabelled(top, "open") if has_parts and (top / "open").is_dir() else None
        if strangers is not None and self.tail.open_classes not in (0, [], ()):
            raise UserError(f"the open set is either {top / 'open'} or open_classes, not both")
        tail = self.tail if val is None else replace(self.tail, val_per_class=0)
        tail = tail if test is None else replace(tail, test_per_class=0)
        return long_tailed_splits(
            kind="ImageFolder",
            source=_checksum([images for images in (pool, val, test, strangers) if images is not None]),
            class_names=classes,
            tail=tail,
            pool=pool,
            val=val,
            test=test,
            strangers=strangers,
        )

    def check(self) -> DataCheck:
        top = self._top
        try:
            splits = self.splits()
        except UserError as error:
            return DataCheck(lines=(str(error),), ok=False)
        counts = splits.train_counts
        lines = [
            f"{top}: {splits.num_classes} classes",
            f"train: {counts.sum():,} images, {counts.max():,} to {counts.min():,} a class",
            f"val: {len(splits.val.labels):,} images of {len(np.unique(splits.val.labels))} classes",
            f"test: {len(splits.test.labels):,} images of {len(np.unique(splits.test.labels))} classes",
            "open: no folder open and no open_classes, so there is no open-set evaluation"
            if splits.open is None
            else f"open: {len(splits.open.labels):,} images",
        ]
        return DataCheck(lines=tuple(lines), ok=True)

    @property
    def _top(self) -> Path:
        if self.root is None:
            raise UserError("image_folder lies in files of yours: say where with --data-root D")
        top = Path(self.root) / self.folder
        if not top.is_dir():
            raise UserError(f"{top} is not a folder")
        return top


def _has_folders(place: Path) -> bool:
    return place.is_dir() and any(entry.is_dir() for entry in place.iterdir())


def _folders(place: Path) -> list[str]:
    names = sorted(entry.name for entry in place.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise UserError(f"{place} has no folders: one a class is needed")
    return names


def _files(top: Path, place: Path) -> list[str]:
    """Images below ``place``, as paths from ``top``, in the same order on every machine."""
    found = (path for path in place.rglob("*") if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."))
    return sorted(path.relative_to(top).as_posix() for path in found)


def _labelled(top: Path, part: str, classes: Sequence[str]) -> ImageFiles:
    for name in _folders(top / part):
        if name not in classes:
            near = difflib.get_close_matches(name, classes, 1)
            hint = f", did you mean {near[0]}?" if near else ""
            raise UserError(f"{top / part / name} is a class that is not among the training classes{hint}")
    found = [_files(top, top / part / name) for name in classes]
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in found])
    return _image_files(top, [name for files in found for name in files], labels)


def _unlabelled(top: Path, part: str) -> ImageFiles:
    files = _files(top, top / part)
    if not files:
        raise UserError(f"{top / part} has no images: remove it where there is no open set")
    return _image_files(top, files, np.full(len(files), OPEN))


def _image_files(top: Path, names: Sequence[str], labels: np.ndarray[tuple[int], np.dtype[np.int64]]) -> ImageFiles:
    return ImageFiles(folder=top, ids=Paths([os.fsencode(name) for name in names]), labels=labels.astype(np.int64))


def _checksum(sets: Sequence[ImageFiles]) -> str:
    """SHA-256 over names and sizes of the files: reading them all would take too long."""
    sha = hashlib.sha256()
    for images in sets:
        for name in images.ids:
            sha.update(os.fsencode(f"{name} {(images.folder / name).stat().st_size}\n"))
    return sha.hexdigest()
