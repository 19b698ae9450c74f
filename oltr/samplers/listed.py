"""The order of training that a file gives: runs of two programs can then be compared image by image."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oltr.contracts import Progress, UserError

Indices = NDArray[np.integer[Any]]


class Listed:
    """Epoch by epoch the images that ``file`` lists: a ``.npy`` array of integers [epochs, n], or text.

    In a text file each line is an epoch, its indices separated by spaces; the epochs may differ in length. Indices
    count from 0 in the order of the training list, and an image may stand any number of times. Nothing is drawn.
    """

    def __init__(self, *, file: str, labels: Tensor) -> None:
        self._file = Path(file)
        self._epochs = _read(self._file)
        for number, indices in enumerate(self._epochs, start=1):
            _check(indices, len(labels), f"{self._file}: epoch {number}")
        self._digest = hashlib.sha256(repr([row.tolist() for row in self._epochs]).encode()).hexdigest()

    def indices(self, progress: Progress) -> Tensor:
        if len(self._epochs) < progress.epochs:  # said in the first epoch, not when the list has run out
            raise UserError(
                f"{self._file} lists the images of {len(self._epochs)} epochs, but the stage has {progress.epochs}"
            )
        return torch.from_numpy(np.array(self._epochs[progress.epoch], dtype=np.int64))

    def state_dict(self) -> dict[str, Any]:
        return {"sha256": self._digest}  # the epoch alone says what comes next

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state["sha256"] != self._digest:
            raise UserError(f"{self._file} lists another order than when the run began; it goes on with the same one")


def _read(file: Path) -> Sequence[Indices]:
    try:
        return list(_array(file)) if file.suffix == ".npy" else _lines(file)
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; it lists the order of the training images") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from None


def _array(file: Path) -> Indices:
    with file.open("rb") as stream:
        try:
            content: Indices = np.lib.format.read_array(stream, allow_pickle=False)
        except ValueError as error:
            raise UserError(f"{file} is no .npy file of integers: {str(error).splitlines()[0]}") from None
    if content.ndim != 2 or content.dtype.kind not in "iu":
        raise UserError(
            f"{file} holds {content.dtype} {list(content.shape)}; "
            "the order of images is an array of integers [epochs, n]"
        )
    return content


def _lines(file: Path) -> list[Indices]:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{file} is no text; an array is told by the ending .npy") from None
    return [_line(words, f"{file}:{number}") for number, words in enumerate(text.rstrip().splitlines(), start=1)]


def _line(words: str, place: str) -> Indices:
    try:
        return np.array([int(word) for word in words.split()], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{place} is no line of indices: {error}") from None


def _check(indices: Indices, images: int, place: str) -> None:
    if len(indices) == 0:
        raise UserError(f"{place} lists no image")
    outside = indices[(indices < 0) | (indices >= images)]
    if len(outside):
        raise UserError(f"{place} lists the image {outside[0]}, but there are {images}: indices are 0 to {images - 1}")
