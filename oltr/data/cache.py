"""Image sets decoded and resized once into HDF5 files, and read from there."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oltr.contracts import RunError, UserError
from oltr.data.cache_build import FORMAT, build
from oltr.data.cache_file import writable
from oltr.data.split import ImageSet, Splits

MEMORY = 512 * 2**20
_log = logging.getLogger(__name__)


def cached(
    splits: Splits, *, folder: Path, image_size: int | None = None, workers: int = 0, memory: int = MEMORY
) -> Splits:
    """The same splits read from files in ``folder``, which are made where they are missing or damaged.

    With ``image_size`` the shorter side is resized to it and the middle cut out; without, all images of a set have
    one size. A file is named after its source, so that a changed source never meets an old file. A set of at most
    ``memory`` bytes is held in memory.
    """
    source = splits.manifest.get("sha256")
    if not source:
        raise UserError(
            "the data set's manifest has no sha256, so a cache cannot tell when it changes; use it uncached"
        )
    if image_size is not None and image_size < 1:
        raise UserError(f"the cache's image_size is at least 1, not {image_size}")
    sets: dict[str, Any] = {}
    for name in ("train", "val", "test", "open", "far", "open_val"):
        images: ImageSet | None = getattr(splits, name)
        if images is not None and len(images.labels):
            files = getattr(images, "fingerprint", str)()  # the manifest knows lists, not the files that they name
            identity = hashlib.sha256(f"{source} {files} {name} {image_size} {FORMAT}".encode()).hexdigest()
            path = folder / f"{name}-{identity[:16]}.h5"
            sets[name] = _open_or_build(path, identity, images, image_size=image_size, workers=workers, memory=memory)
    return replace(splits, **sets)


class CachedSet:
    """Images of a cache file: in memory where they are few, else by a handle that each process opens for itself."""

    def __init__(
        self, *, path: Path, identity: str, labels: NDArray[np.int64], ids: Sequence[str], in_memory: bool
    ) -> None:
        self.path = path
        self.identity = identity
        self.labels = labels
        self.ids = ids
        self.in_memory = in_memory
        self._images: Tensor | None = None
        self._file: tuple[int, h5py.File] | None = None

    def read(self, indices: Sequence[int]) -> list[Tensor]:
        wanted = np.asarray(indices, dtype=np.int64)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self.labels)):
            raise IndexError(f"{self.path} has images 0 to {len(self.labels) - 1}")
        if self.in_memory:
            images = self._held()
            return [
                _colours_first(images[index].clone()) for index in wanted.tolist()
            ]  # a transform may write to its image
        return self._from_file(wanted)

    def verify(self) -> None:
        """Raise where the file is not this set's, or is damaged: anywhere if it is held in memory, else at its ends."""
        try:
            dataset, labels = self._dataset(), self._opened()["labels"][:]
            if len(dataset) != len(self.labels) or not np.array_equal(labels, self.labels):
                raise RunError(f"{self.path} holds other images than its source")
            if self._opened()["ids"].asstr()[:].tolist() != writable(self.ids):
                raise RunError(f"{self.path} holds images of other names than its source")
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise self._damaged(error) from error
        self.read([0, len(self.labels) - 1])

    def __getstate__(self) -> dict[str, Any]:
        """A worker opens the file itself, and holds its own copy where it is small."""
        return {**self.__dict__, "_images": None, "_file": None}

    def _held(self) -> Tensor:
        if self._images is None:
            try:
                self._images = torch.from_numpy(self._dataset()[:])
            except OSError as error:
                raise self._damaged(error) from error
            self._close()
        return self._images

    def _from_file(self, wanted: NDArray[np.int64]) -> list[Tensor]:
        """One read for each run of neighbours, in the order of the file, straight to its place.

        By the dataset's ``id``, since indexing the dataset takes as long beside the reading as the reading itself.
        """
        rows, back = np.unique(wanted, return_inverse=True)
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else []
        try:
            dataset, done = self._dataset(), 0
            read = torch.empty(len(rows), *dataset.shape[1:], dtype=torch.uint8)
            images, place = read.numpy(), dataset.id.get_space()
            for run in runs:
                shape = (len(run), *dataset.shape[1:])
                place.select_hyperslab((int(run[0]), 0, 0, 0), shape)
                dataset.id.read(h5py.h5s.create_simple(shape), place, images[done : done + len(run)])
                done += len(run)
        except OSError as error:
            raise self._damaged(error) from error
        return [_colours_first(read[row]) for row in back.tolist()]

    def _dataset(self) -> h5py.Dataset:
        return self._opened()["images"]

    def _opened(self) -> h5py.File:
        """The file, opened by this very process: a handle does not outlive a fork."""
        if self._file is None or self._file[0] != os.getpid():
            file = h5py.File(self.path, "r")
            if file.attrs.get("source_checksum") != self.identity:
                file.close()
                raise RunError(f"{self.path} is the cache of another source; delete it, and it is made again")
            self._file = (os.getpid(), file)
        return self._file[1]

    def _close(self) -> None:
        if self._file is not None and self._file[0] == os.getpid():
            self._file[1].close()
        self._file = None

    def _damaged(self, error: Exception) -> RunError:
        self._close()
        reason = str(error).splitlines()[0]
        return RunError(f"the cache {self.path} is damaged ({reason}); delete it, and it is made again")


def _colours_first(stored: Tensor) -> Tensor:
    """[H, W, 3] -> [3, H, W], the same bytes."""
    return stored.permute(2, 0, 1)


def _open_or_build(
    path: Path, identity: str, images: ImageSet, *, image_size: int | None, workers: int, memory: int
) -> CachedSet:
    if path.exists():
        try:
            return _opened_set(path, identity, images, memory)
        except RunError as error:
            _log.warning("%s; making it again", str(error).split("; delete")[0])
    build(path, identity, images, image_size=image_size, workers=workers)
    return _opened_set(path, identity, images, memory)


def _opened_set(path: Path, identity: str, images: ImageSet, memory: int) -> CachedSet:
    try:
        with h5py.File(path, "r") as file:
            size = file["images"].nbytes
    except (OSError, KeyError, RuntimeError) as error:
        raise RunError(f"the cache {path} is damaged ({str(error).splitlines()[0]})") from error
    opened = CachedSet(path=path, identity=identity, labels=images.labels, ids=images.ids, in_memory=size <= memory)
    opened.verify()
    return opened
