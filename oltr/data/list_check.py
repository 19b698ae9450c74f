"""What `oltr data check` says of a data set given as lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from oltr.contracts import UserError
from oltr.data.image_files import ImageFiles
from oltr.data.list_file import OPEN_LISTS
from oltr.data.split import DataCheck

if TYPE_CHECKING:
    from oltr.data.image_list import ImageList, Published
    from oltr.data.list_file import ListFile


def check_lists(data: ImageList) -> DataCheck:
    """Reads every list, looks for every image, reads no image."""
    lines: list[str] = []
    ok = True
    num_classes: int | None = None
    for split in ("train", "val", "test", *OPEN_LISTS):
        path = data.path(split)
        if not path.exists():
            if split in OPEN_LISTS[1:]:
                continue
            ok = ok and split == "open"
            lines.append(f"{path.name}: {_absent(split)} (looked in {data.tried})")
            continue
        try:
            listed = data.read(split, is_open=split in OPEN_LISTS, num_classes=num_classes)
            num_classes = data.classes_of(listed) if split == "train" else num_classes
        except UserError as error:
            ok = False
            lines.append(str(error))
            continue
        remark, as_published = _compared(split, listed, data.published)
        lines.append(f"{path}: {_counted(split, listed)}{remark}")
        missing = _missing(data.image_set(listed), split)
        ok = ok and as_published and not missing
        if missing:
            lines.append(
                f"{path.name}: {len(missing):,} of {len(listed.paths):,} images are missing, first {missing[0]}"
            )
    if ok:
        try:
            data.splits()
        except UserError as error:
            return DataCheck(lines=(*lines, str(error)), ok=False)
    return DataCheck(lines=tuple(lines), ok=ok)


def _absent(split: str) -> str:
    return "not there, so there is no open-set evaluation" if split == "open" else "MISSING, needed"


def _counted(split: str, listed: ListFile) -> str:
    images = f"{len(listed.paths):,} images"
    if split in OPEN_LISTS:
        return images
    counts = np.bincount(listed.labels)
    present = counts[counts > 0]
    empty = (
        f" ({len(counts) - len(present):,} more are empty)" if split == "train" and len(present) < len(counts) else ""
    )
    return f"{images} of {len(present):,} classes{empty}, {present.max():,} to {present.min():,} a class"


def _compared(split: str, listed: ListFile, published: Published | None) -> tuple[str, bool]:
    """What the published facts say to it; nothing of sets they do not mention."""
    if published is None or split not in published.images:
        return "", True
    wanted = f"{published.images[split]:,} images"
    same = len(listed.paths) == published.images[split]
    if split == "train":
        counts = np.bincount(listed.labels)
        facts = (published.num_classes, published.largest, published.smallest)
        same = same and (len(counts), counts.max(), counts.min()) == facts
        wanted += " of {:,} classes, {:,} to {:,} a class".format(*facts)
    return (", as published", True) if same else (f"; published are {wanted}", False)


def _missing(images: ImageFiles, split: str) -> list[str]:
    names = tqdm(images.ids, desc=f"looking for {split} images", leave=False, disable=len(images.ids) < 10_000)
    return [name for name in names if not (images.folder / name).is_file()]
