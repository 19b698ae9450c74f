"""The files that the published code's ``--output_logits`` writes: what a network said of each test image."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import OPEN, UserError

ARRAYS = ("logits", "labels", "paths")

log = logging.getLogger("oltr")


@dataclass(frozen=True, kw_only=True)
class Logits:
    """Logits [N, C], labels [N] (OPEN for images of no known class) and the images' names, each once."""

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    ids: tuple[str, ...]

    def where(self, mask: NDArray[np.bool_]) -> Logits:
        ids = tuple(self.ids[index] for index in np.flatnonzero(mask))
        return Logits(logits=self.logits[mask], labels=self.labels[mask], ids=ids)

    @property
    def known(self) -> Logits:
        return self.where(self.labels != OPEN)

    @property
    def open(self) -> Logits:
        return self.where(self.labels == OPEN)


def read_logits(paths: Sequence[Path], num_classes: int) -> dict[str, Logits]:
    """The parts ``test`` and, where there are open images, ``open`` of one file, or of the closed one and the open one.

    A file that lacks an array, or whose arrays do not fit each other or the classes, is a UserError of one line.
    """
    files = [(path, _read(path, num_classes)) for path in paths]
    for path, read in files:
        if not (read.labels != OPEN).any():
            raise UserError(f"{path}: no image of a known class in it (all labels are {OPEN}): there is no test set")
    closed = [read for _, read in files if not (read.labels == OPEN).any()]
    mixed = [read for _, read in files if (read.labels == OPEN).any()]
    if len(closed) > 1 or len(mixed) > 1:
        kind = "without" if len(closed) > 1 else "with"
        raise UserError(f"{paths[0]} and {paths[1]} are both {kind} open images: one run has one file of each kind")
    if closed and mixed:
        _demand_same_run(closed[0], mixed[0].known, *paths)
    parts = {"test": (closed or [mixed[0].known])[0]}
    return parts | ({"open": mixed[0].open} if mixed else {})


def _demand_same_run(closed: Logits, known: Logits, *paths: Path) -> None:
    for what in ("labels", "ids"):
        if not np.array_equal(getattr(closed, what), getattr(known, what)):
            raise UserError(
                f"{paths[0]} and {paths[1]} differ in the {what} of known images: they are of two test sets"
            )
    if not np.allclose(closed.logits, known.logits, rtol=1e-2, atol=1e-2):  # GPUs round each pass in another way
        raise UserError(f"{paths[0]} and {paths[1]} differ in the logits of known images: they are of two runs")


def _read(path: Path, num_classes: int) -> Logits:
    arrays = _arrays(path)
    logits, labels, names = (arrays[name] for name in ARRAYS)
    if logits.ndim != 2 or logits.dtype.kind != "f":
        raise UserError(f"{path}: logits are numbers of shape [N, C], not {logits.dtype} {list(logits.shape)}")
    if logits.shape[1] != num_classes:
        raise UserError(f"{path}: logits of {logits.shape[1]} classes, and the config's data have {num_classes}")
    for name, array in (("labels", labels), ("paths", names)):
        if array.shape != (len(logits),):
            raise UserError(f"{path}: {name} have shape {list(array.shape)}, where there are {len(logits)} logits")
    if labels.dtype.kind not in "iu" or names.dtype.kind not in "US":
        wrong = "labels" if labels.dtype.kind not in "iu" else "paths"
        wanted = "whole numbers" if wrong == "labels" else "text"
        raise UserError(f"{path}: {wrong} are {wanted}, not {arrays[wrong].dtype}")
    outside = (labels < OPEN) | (labels >= num_classes)
    if outside.any():
        raise UserError(
            f"{path}: label {labels[outside][0]}, where labels are 0 to {num_classes - 1}, or {OPEN} for open"
        )
    ids = [
        str(name) if names.dtype.kind == "U" else name.decode("utf-8", "backslashreplace") for name in names.tolist()
    ]
    with np.errstate(over="ignore"):  # what single precision cannot hold is told of below
        single = logits.astype(np.float32)
    finite = np.isfinite(single).all(axis=1)
    if not finite.all():
        raise UserError(f"{path}: the logits of {ids[int(np.argmin(finite))]!r} are not finite")
    return Logits(logits=single, labels=labels.astype(np.int64), ids=_once(ids, path))


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file; pickled objects are not read."""
    if not path.is_file():
        raise UserError(f"{path}: no such file of logits")
    found: dict[str, NDArray[Any]] = {}
    name = "?"
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            for name in ARRAYS:
                if name in file:
                    found[name] = file[name]
    except OSError as error:
        raise UserError(f"{path}: not a readable file of logits ({error.strerror or type(error).__name__})") from error
    except Exception as error:
        if "allow_pickle" in str(error) and name in ARRAYS:
            raise UserError(
                f"{path}: its {name} are Python objects, which are not read; save them as np.array({name}, dtype=str)"
            ) from error
        raise UserError(f"{path}: not a whole npz file of logits ({type(error).__name__})") from error
    for name in ARRAYS:
        if name not in found:
            raise UserError(f"{path}: no array {name!r} in it; the published code writes {', '.join(ARRAYS)}")
    return found


def _once(names: Sequence[str], path: Path) -> tuple[str, ...]:
    """The names, a number added where one comes again."""
    seen: Counter[str] = Counter()
    ids = []
    for name in names:
        seen[name] += 1
        ids.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    again = len(names) - len(seen)
    if again:
        log.warning("%s: %d of its paths stand there before; they are told apart by a number", path, again)
    return tuple(ids)
