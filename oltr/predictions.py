"""The prediction store: what a trained network says of every image, in one HDF5 file (`predictions.h5`).

Everything that is reported is computed from it, without the network. It holds the parts ``val``, ``test`` and, where
the benchmark has them, ``open``, ``far`` and ``open_val``; ``fit``, the training images, where scorers are fitted on
them. Each has logits [N, C] and features [N, D] as float32, labels [N] as int64, ids [N] as text; where the last layer
acts on something else than the features, that too, as ``penultimate`` [N, E]. A store of another program's logits has
no features (D is 0) and no ``val``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oltr.atomic import replacing
from oltr.contracts import Head, Outputs, UserError

PARTS = ("fit", "val", "open_val", "test", "open", "far")
UNKNOWN = ("open_val", "open", "far")
"""Those whose images are all of classes that were never trained on."""
SCHEMA = 1

BLOCK = 4096
"""Images that are read at a time."""

Array = NDArray[Any]


class Part:
    """One set of the store; its arrays are read from the file when asked for."""

    def __init__(self, path: Path, name: str, size: int, centroids: Array | None) -> None:
        self.path = path
        self.name = name
        self._size = size
        self._centroids = None if centroids is None else torch.from_numpy(centroids)

    def __len__(self) -> int:
        return self._size

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """[N]; OPEN throughout the part ``open``."""
        with _reading(self.path) as file:
            return np.asarray(file[self.name]["labels"][:], dtype=np.int64)

    @cached_property
    def ids(self) -> list[str]:
        with _reading(self.path) as file:
            return [str(name) for name in file[self.name]["ids"].asstr()[:]]

    @property
    def logits(self) -> NDArray[np.float32]:
        """[N, C], read anew each time."""
        with _reading(self.path) as file:
            return np.asarray(file[self.name]["logits"][:], dtype=np.float32)

    @property
    def features(self) -> NDArray[np.float32]:
        """[N, D], read anew each time."""
        with _reading(self.path) as file:
            group = file[self.name]
            return np.asarray(group["features"][:] if "features" in group else _none(self._size), dtype=np.float32)

    def blocks(self, size: int = BLOCK, *, penultimate: bool = False) -> Iterator[Outputs]:
        """The part in order, ``size`` images at a time, as scorers want it.

        With ``penultimate`` the features are what the network's last layer acts on, and there are no centroids.
        """
        with _reading(self.path) as file:
            group = file[self.name]
            name = "penultimate" if penultimate and "penultimate" in group else "features"
            for start in range(0, self._size, size):
                rows = slice(start, start + size)
                logits = torch.from_numpy(group["logits"][rows])
                features = torch.from_numpy(group[name][rows] if name in group else _none(len(logits)))
                yield Outputs(features, logits, None if penultimate else self._centroids)

    def labelled(self, size: int = BLOCK, *, penultimate: bool = False) -> Iterator[tuple[Outputs, Tensor]]:
        """The blocks with the labels of their images."""
        labels = torch.from_numpy(self.labels)
        yield from zip(self.blocks(size, penultimate=penultimate), torch.split(labels, size), strict=True)

    def network_scores(self, scorer: str, options: Mapping[str, Any]) -> NDArray[np.float32] | None:
        """What a scorer that runs the network gave each image, [N]; None where it was not run with these options."""
        with _reading(self.path) as file:
            found = file[self.name].get(f"scores/{scorer}")
            if found is None or json.loads(found.attrs["options"]) != json.loads(json.dumps(options)):
                return None
            return np.asarray(found[:], dtype=np.float32)


class Predictions:
    """A finished store: the facts of the run, and its parts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _reading(path) as file:
            if file.attrs["schema"] != SCHEMA:
                raise UserError(
                    f"{path}: predictions of schema {file.attrs['schema']}, this oltr reads {SCHEMA}; evaluate again"
                )
            self.train_counts: NDArray[np.int64] = np.asarray(file["train_counts"][:], dtype=np.int64)
            self.class_names: tuple[str, ...] = tuple(str(name) for name in file["class_names"].asstr()[:])
            self.provenance: dict[str, Any] = json.loads(file["provenance"].asstr()[()])
            known = file.get("centroids")
            self.centroids: Array | None = None if known is None else np.asarray(known[:], dtype=np.float32)
            self.centroids_source: str | None = None if known is None else str(known.attrs["source"])
            self.head: Head | None = None
            if "head" in file:
                self.head = Head(*(torch.from_numpy(file["head"][name][:]) for name in Head._fields))
            self._sizes = {name: len(file[name]["labels"]) for name in PARTS if name in file}
            stored = [file[name]["features"] for name in self._sizes if "features" in file[name]]
            self.feature_dim: int = stored[0].shape[1] if stored else 0

    @classmethod
    def open(cls, path: Path) -> Predictions:
        """The store at ``path``; UserError where there is none, or where it is damaged."""
        return cls(Path(path))

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def part(self, name: str) -> Part | None:
        """One of PARTS, or None where the store has no such part."""
        return Part(self.path, name, self._sizes[name], self.centroids) if name in self._sizes else None


def export_npz(predictions: Predictions, folder: Path) -> list[Path]:
    """The files of the original's ``--output_logits``: arrays ``logits``, ``labels``, ``paths`` of the test set in
    ``logits_close.npz`` and, where there is an open set, of both in ``logits_open.npz`` with label -1 for open images.
    """
    test, unknown = predictions.part("test"), predictions.part("open")
    if test is None:
        raise UserError(f"{predictions.path}: no test set in the store, so there is nothing to export; evaluate again")
    written = []
    for name, parts in (("logits_close.npz", [test]), ("logits_open.npz", [test, unknown])):
        present = [part for part in parts if part is not None]
        if len(present) < len(parts):
            continue
        with replacing(Path(folder) / name) as temporary, temporary.open("wb") as stream:
            np.savez(
                stream,
                logits=np.concatenate([part.logits for part in present]),
                labels=np.concatenate([part.labels for part in present]),
                paths=np.array([image for part in present for image in part.ids]),
            )
        written.append(Path(folder) / name)
    return written


@contextmanager
def _reading(path: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise UserError(f"no predictions at {path}: run the evaluation (--test or --test_open) first") from None
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path} is damaged or no prediction store ({_first_line(error)}): "
            "delete it and the report.json beside it, then --resume"
        ) from error


def _none(size: int) -> NDArray[np.float32]:
    """The features of images that were stored without any."""
    return np.empty((size, 0), dtype=np.float32)


def _first_line(error: Exception) -> str:
    return (str(error).strip("'\"").splitlines() or [type(error).__name__])[0]
