"""A list of images: lines of ``path label``, where a path may hold spaces."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import OPEN, UserError
from oltr.data.image_files import Paths

OPEN_LISTS = ("open", "far", "open_val")
"""Lists of images of no known class; a data set may have any of them."""
_MOST_CLASSES = 1_000_000
"""A label beyond this is a mistake; one class name each is made of all below it."""


@dataclass(frozen=True, kw_only=True)
class ListFile:
    """A list as read: 12 bytes an image beside its path."""

    path: Path
    paths: Paths
    labels: NDArray[np.int64]
    sha256: str


def read_list(path: Path, *, is_open: bool = False, num_classes: int | None = None) -> ListFile:
    """Line ``n`` is image ``n - 1``. In an open list whatever stands as label means OPEN."""
    text = path.read_bytes()
    lines = text.rstrip().splitlines()
    if not lines:
        raise UserError(f"{path} is empty")
    names, words = _parted(path, lines)
    if len(set(names)) < len(names):
        raise UserError(f"{path}:{_second_time(names)}: the image is listed a second time")
    labels = np.full(len(names), OPEN, dtype=np.int64)
    if not is_open:
        labels[:] = _labels(path, words, num_classes)
    return ListFile(path=path, paths=Paths(names), labels=labels, sha256=hashlib.sha256(text).hexdigest())


def _parted(path: Path, lines: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Names and labels. A pair kept for each line would cost as much again, in garbage collection."""
    names, words = [], []
    for number, line in enumerate(lines, 1):
        try:
            name, word = line.rsplit(None, 1)
        except ValueError:
            raise UserError(f"{path}:{number}: a line is `path label`, not {_shown(line)}") from None
        names.append(name)
        words.append(word)
    return names, words


def _labels(path: Path, words: Sequence[bytes], num_classes: int | None) -> NDArray[np.int64]:
    limit = _MOST_CLASSES if num_classes is None else num_classes
    try:
        labels = np.fromiter(map(int, words), dtype=np.int64, count=len(words))
    except (ValueError, OverflowError):
        labels = None
    if labels is None or labels.min() < 0 or labels.max() >= limit:
        number = next(index for index, word in enumerate(words, 1) if not _is_index(word, limit))
        known = "a class index" if num_classes is None else f"from 0 to {num_classes - 1}, as in the train list"
        raise UserError(f"{path}:{number}: a label is {known}, not {_shown(words[number - 1])}")
    return labels


def _is_index(word: bytes, limit: int) -> bool:
    return word.isdigit() and len(word) < 19 and int(word) < limit


def _second_time(names: Sequence[bytes]) -> int:
    seen: set[bytes] = set()
    for number, name in enumerate(names, 1):
        if name in seen:
            return number
        seen.add(name)
    return 0


def _shown(text: bytes) -> str:
    return repr(text[:80].decode(errors="replace"))
