"""HDF5 files that are written whole or not at all, also where the disk is full."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from oltr.atomic import replacing


class Stream(io.FileIO):
    """A file that never fails HDF5, which may crash on a write error or lose it; ``failure`` holds the first one.

    What the disk refused is kept in memory, so that HDF5 reads what it wrote and can close the file in order. Whoever
    writes calls ``check`` before they go on.
    """

    failure: OSError | None = None

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(path, mode)
        self._refused: list[tuple[int, bytes]] = []

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def write(self, data: Any) -> int:
        position, whole = self.tell(), memoryview(data).cast("B")
        remaining = whole
        try:
            while len(remaining) and self.failure is None:
                remaining = remaining[super().write(remaining) :]
        except OSError as error:
            self.failure = error
        if self.failure is not None:
            self._refused.append((position, bytes(whole)))
        return len(whole)

    def readinto(self, buffer: Any) -> int:
        position, view = self.tell(), memoryview(buffer).cast("B")
        read = super().readinto(view) or 0
        view[read:] = bytes(len(view) - read)
        for offset, data in self._refused:
            start, end = max(position, offset), min(position + len(view), offset + len(data))
            if start < end:
                view[start - position : end - position] = data[start - offset : end - offset]
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0


@contextmanager
def creating(path: Path) -> Iterator[tuple[h5py.File, Stream]]:
    """A new HDF5 file that takes the name ``path`` when the block ends well; who writes to it calls ``check`` after."""
    with replacing(path) as temporary, Stream(temporary, "x+") as stream:
        try:
            with h5py.File(stream, "w", libver="v110") as file:
                yield file, stream
            stream.check()
        except OSError as error:
            told = stream.failure or error  # HDF5 may have stumbled over what the disk refused: tell that
            told.filename = told.filename or str(path)
            raise told from None
