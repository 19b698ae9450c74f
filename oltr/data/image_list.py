"""Data sets given as lists of images, in the layout of the original (Liu et al., 2019)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from oltr.contracts import UserError
from oltr.data.image_files import ImageFiles
from oltr.data.list_check import check_lists
from oltr.data.list_file import OPEN_LISTS, ListFile, read_list
from oltr.data.manifest import sealed
from oltr.data.split import DataCheck, Splits

_log = logging.getLogger("oltr")


@dataclass(frozen=True, kw_only=True)
class Published:
    """What is known of a public data set."""

    images: Mapping[str, int]
    num_classes: int
    largest: int
    smallest: int


class ImageList:
    """``<list_name>_train.txt``, ``_val``, ``_test``, and of ``_open``, ``_far``, ``_open_val`` those that there are.

    The lists lie in ``lists`` below the root (below the working directory where it begins with ``./``), or else in the
    root, its folder ``<list_name>`` or ``data/<list_name>``. Paths are relative to ``images`` below the root, or else
    to the first of those folders that holds the first image; those of an open list to the folder of its name, such as
    ``<list_name>_open``, beside the lists, where that holds the first. ``<list_name>_classes.txt``, a name a line,
    names the classes; ``num_classes`` adds empty ones to those of the training list. Lines are ``path label``.
    """

    published: ClassVar[Published | None] = None

    def __init__(
        self,
        *,
        root: Path | None,
        list_name: str,
        lists: str | None = None,
        images: str | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.root = root
        self.list_name = list_name
        self._lists = lists
        self._images = images
        self._num_classes = num_classes

    def splits(self) -> Splits:
        train = self.read("train")
        num_classes = self.classes_of(train)
        val = self.read("val", num_classes=num_classes)
        test = self.read("test", num_classes=num_classes)
        strangers = {split: self.read(split, is_open=True) for split in OPEN_LISTS if self.path(split).exists()}
        read = {"train": train, "val": val, "test": test} | strangers
        _warn_of_overlap(read)
        _keep_apart(read)
        facts = {split: {"images": len(found.paths), "sha256": found.sha256} for split, found in read.items()}
        options: dict[str, str | int] = {"list_name": self.list_name}
        if num_classes > int(train.labels.max()) + 1:
            options["num_classes"] = num_classes
        opened = {split: self.image_set(listed) for split, listed in strangers.items()}
        return Splits(
            train=self.image_set(train),
            val=self.image_set(val),
            test=self.image_set(test),
            open=opened.get("open"),
            far=opened.get("far"),
            open_val=opened.get("open_val"),
            class_names=self._class_names(num_classes),
            manifest=sealed({"kind": "image_list", "options": options, "lists": facts}),
        )

    def check(self) -> DataCheck:
        return check_lists(self)

    def classes_of(self, train: ListFile) -> int:
        """How many classes there are; one may be empty."""
        labelled = int(train.labels.max()) + 1
        if self._num_classes is not None and self._num_classes < labelled:
            raise UserError(
                f"{train.path}: labels up to {labelled - 1}, so {labelled} classes, not {self._num_classes}"
            )
        return self._num_classes or labelled

    def path(self, split: str) -> Path:
        return self._folder / f"{self.list_name}_{split}.txt"

    def read(self, split: str, *, is_open: bool = False, num_classes: int | None = None) -> ListFile:
        path = self.path(split)
        try:
            return read_list(path, is_open=is_open, num_classes=num_classes)
        except FileNotFoundError:
            raise UserError(f"there is no {path.name} in {self.tried}{self._others()}") from None
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None

    def image_set(self, listed: ListFile) -> ImageFiles:
        places = self._places if self._images is None else [self._given_root / self._images]
        beside = [listed.path.with_suffix("")] if listed.path in map(self.path, OPEN_LISTS) else []
        folder = next((place for place in [*beside, *places] if (place / listed.paths[0]).exists()), places[0])
        return ImageFiles(folder=folder, ids=listed.paths, labels=listed.labels, list_file=listed.path)

    @property
    def tried(self) -> str:
        """The folders where lists are looked for, in words."""
        return " or ".join(map(str, self._list_places))

    @property
    def _given_root(self) -> Path:
        if self.root is None:
            raise UserError(f"{self.list_name} lies in files of yours: say where with --data-root D")
        return Path(self.root)

    @property
    def _places(self) -> list[Path]:
        return [self._given_root, self._given_root / self.list_name, self._given_root / "data" / self.list_name]

    @property
    def _list_places(self) -> list[Path]:
        if self._lists is None:
            return self._places
        return [Path(self._lists) if self._lists.startswith("./") else self._given_root / self._lists]

    @cached_property
    def _folder(self) -> Path:
        places = self._list_places
        return next((place for place in places if (place / f"{self.list_name}_train.txt").exists()), places[0])

    def _others(self) -> str:
        found = {
            path.name.removesuffix("_train.txt") for place in self._list_places for path in place.glob("*_train.txt")
        }
        found.discard(self.list_name)
        return f"; found there: list_name {', '.join(sorted(found))}" if found else ""

    def _class_names(self, num_classes: int) -> tuple[str, ...]:
        path = self.path("classes")
        if not path.exists():
            return tuple(map(str, range(num_classes)))
        names = tuple(path.read_text(encoding="utf-8", errors="replace").splitlines())
        if len(names) != num_classes:
            raise UserError(f"{path} names {len(names)} classes, but the train list has labels up to {num_classes - 1}")
        return names


def _keep_apart(read: Mapping[str, ListFile]) -> None:
    """Raises where a threshold set on the open validation list would be set on images that it is tested on."""
    if "open_val" in read:
        tested = {path for split in ("test", "open", "far") if split in read for path in read[split].paths}
        shared = [path for path in read["open_val"].paths if path in tested]
        if shared:
            raise UserError(
                f"{read['open_val'].path}: {len(shared)} of its images are tested on as well, first {shared[0]}; an "
                "open validation list has images of its own"
            )


def _warn_of_overlap(read: Mapping[str, ListFile]) -> None:
    """Say where a list that is tested on names training images."""
    tested = {split: set(found.paths) for split, found in read.items() if split != "train"}
    shared = Counter(split for path in read["train"].paths for split, paths in tested.items() if path in paths)
    for split in (split for split in read if shared[split]):
        _log.warning("%s: %d of its images are training images as well", read[split].path, shared[split])
