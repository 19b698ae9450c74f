"""Image sets decoded and resized once into HDF5 files, and read from there."""

from __future__ import annotations

import hashlib
import io
import logging
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
from oltr.data.cache_file import checksums, reason, writable
from oltr.data.split import ImageSet, Splits

MEMORY = 512 * 2**20
_log = logging.getLogger(__name__)


def cached(
    splits: Splits,
    *,
    folder: Path,
    image_size: int | None = None,
    scaled_decode: bool = False,
    workers: int = 0,
    memory: int = MEMORY,
) -> Splits:
    """The same splits read from files in ``folder``, which are made where they are missing or damaged.

    With ``image_size`` the shorter side is resized to it and the middle cut out; without, all images of a set have
    one size; ``scaled_decode`` has image sets that can read images ``at_least`` of a size do so. A file is named after
    its source, so that a changed source never meets an old file. A set of at most ``memory`` bytes is held in memory.
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
            told = f"{source} {files} {name} {image_size} {FORMAT}"
            if scaled_decode and hasattr(images, "at_least"):
                images, told = images.at_least(image_size), f"{told} scaled"
            identity = hashlib.sha256(told.encode()).hexdigest()
            path = folder / f"{name}-{identity[:16]}.h5"
            sets[name] = _open_or_build(path, identity, images, image_size=image_size, workers=workers, memory=memory)
    return replace(splits, **sets)


class CachedSet:
    """Images of a cache file: in memory where they are few, else from the file, which each reading of a batch opens.

    ``shape`` and ``offset`` tell where in the file each image stands, ``sums`` their checksums.
    """

    def __init__(
        self,
        *,
        path: Path,
        labels: NDArray[np.int64],
        ids: Sequence[str],
        shape: tuple[int, ...],
        offset: int,
        sums: NDArray[np.uint32],
        in_memory: bool,
    ) -> None:
        self.path = path
        self.labels = labels
        self.ids = ids
        self.in_memory = in_memory
        self._shape, self._offset, self._sums = shape, offset, sums
        self._images: Tensor | None = None

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

    def __getstate__(self) -> dict[str, Any]:
        """A worker holds its own copy where it is small."""
        return {**self.__dict__, "_images": None}

    def _held(self) -> Tensor:
        if self._images is None:
            self._images = self._rows([np.arange(len(self.labels))])
        return self._images

    def _from_file(self, wanted: NDArray[np.int64]) -> list[Tensor]:
        """One read for each run of neighbours, in the order of the file."""
        rows, back = np.unique(wanted, return_inverse=True)
        read = self._rows(np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else [])
        return [_colours_first(read[row]) for row in back.tolist()]

    def _rows(self, runs: Sequence[NDArray[np.int64]]) -> Tensor:
        """The images of these runs, [N, H, W, 3], read straight to their places and checked."""
        read, done = torch.empty(sum(map(len, runs)), *self._shape, dtype=torch.uint8), 0
        images = read.numpy()
        try:
            with io.FileIO(self.path) as file:
                for run in runs:
                    self._fill(images[done : done + len(run)], file, int(run[0]))
                    done += len(run)
        except FileNotFoundError:
            raise RunError(f"the cache {self.path} is gone; run again, and it is made again") from None
        except OSError as error:
            raise _damaged(self.path, error) from error
        return read

    def _fill(self, images: NDArray[np.uint8], file: io.FileIO, first: int) -> None:
        rest = images.reshape(-1).data
        file.seek(self._offset + first * images[0].nbytes)
        while len(rest):
            read = file.readinto(rest)
            if not read:
                raise OSError("it ends too early")
            rest = rest[read:]
        wrong = np.flatnonzero(checksums(images) != self._sums[first : first + len(images)])
        if len(wrong):
            raise OSError(f"image {self.ids[first + int(wrong[0])]} is not what was written")


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
    """The set of a file, which is ``images``' own and undamaged: anywhere if it is held in memory, else at its ends."""
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("source_checksum") != identity:
                raise RunError(f"{path} is the cache of another source; delete it, and it is made again")
            if not np.array_equal(file["labels"][:], images.labels):
                raise RunError(f"{path} holds other images than its source")
            if file["ids"].asstr()[:].tolist() != writable(images.ids):
                raise RunError(f"{path} holds images of other names than its source")
            stored, sums = file["images"], file["checksums"][:]
            shape, offset, size = stored.shape, stored.id.get_offset(), stored.nbytes
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise _damaged(path, error) from error
    if len(sums) != len(images.labels) or shape[0] != len(sums) or offset is None:
        raise _damaged(path, ValueError("its images are not where they should be"))
    opened = CachedSet(
        path=path,
        labels=images.labels,
        ids=images.ids,
        shape=shape[1:],
        offset=offset,
        sums=sums,
        in_memory=size <= memory,
    )
    opened.read([0, len(sums) - 1])
    return opened


def _damaged(path: Path, error: Exception) -> RunError:
    return RunError(f"the cache {path} is damaged ({reason(error)}); delete it, and it is made again")
