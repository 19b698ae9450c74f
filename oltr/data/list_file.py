"""A list of images: lines of ``path label``, where a path may hold spaces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import OPEN, UserError
from oltr.data.image_files import Paths

OPEN_LISTS = ("open", "far", "open_val")
"""Lists of images of no known class; a data set may have any of them."""
_BLOCK = 2**22
"""Bytes of a list that are split at a time: lines as objects take four times as much as their text."""
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
    parts, labels, hashes = list[Paths](), list[NDArray[np.int64]](), list[NDArray[np.int64]]()
    number = 1
    for lines in _blocks(text):
        names, words = _parted(path, lines, number)
        parts.append(Paths(names))
        labels.append(np.full(len(names), OPEN) if is_open else _labels(path, words, num_classes, number))
        hashes.append(np.fromiter(map(hash, names), dtype=np.int64, count=len(names)))
        number += len(lines)
    if not parts:
        raise UserError(f"{path} is empty")
    paths = Paths.joined(parts)
    if _any_twice(np.concatenate(hashes)) and (again := _second_time(paths)):
        raise UserError(f"{path}:{again}: the image is listed a second time")
    return ListFile(path=path, paths=paths, labels=np.concatenate(labels), sha256=hashlib.sha256(text).hexdigest())


def _blocks(text: bytes) -> Iterator[list[bytes]]:
    """Lines, some megabytes of them at a time, up to the last that is not blank."""
    start, last = 0, len(text.rstrip())
    while start < last:
        end = text.find(b"\n", start + _BLOCK, last) + 1 or last
        yield text[start:end].splitlines()
        start = end


def _parted(path: Path, lines: Sequence[bytes], first: int) -> tuple[list[bytes], list[bytes]]:
    """Names and labels. A pair kept for each line would cost as much again, in garbage collection."""
    names, words = [], []
    for number, line in enumerate(lines, first):
        try:
            name, word = line.rsplit(None, 1)
        except ValueError:
            raise UserError(f"{path}:{number}: a line is `path label`, not {_shown(line)}") from None
        names.append(name)
        words.append(word)
    return names, words


def _labels(path: Path, words: Sequence[bytes], num_classes: int | None, first: int) -> NDArray[np.int64]:
    limit = _MOST_CLASSES if num_classes is None else num_classes
    try:
        labels = np.fromiter(map(int, words), dtype=np.int64, count=len(words))
    except (ValueError, OverflowError):
        labels = None
    if labels is None or labels.min() < 0 or labels.max() >= limit:
        place = next(place for place, word in enumerate(words) if not _is_index(word, limit))
        known = "a class index" if num_classes is None else f"from 0 to {num_classes - 1}, as in the train list"
        raise UserError(f"{path}:{first + place}: a label is {known}, not {_shown(words[place])}")
    return labels


def _is_index(word: bytes, limit: int) -> bool:
    return word.isdigit() and len(word) < 19 and int(word) < limit


def _any_twice(hashes: NDArray[np.int64]) -> bool:
    """Whether two are equal, as those of equal names are."""
    ordered = np.sort(hashes)
    return bool((ordered[1:] == ordered[:-1]).any())


def _second_time(names: Iterable[str]) -> int:
    """The number of the first name that stood before, from 1; 0 where there is none."""
    seen: set[str] = set()
    for number, name in enumerate(names, 1):
        if name in seen:
            return number
        seen.add(name)
    return 0


def _shown(text: bytes) -> str:
    return repr(text[:80].decode(errors="replace"))
