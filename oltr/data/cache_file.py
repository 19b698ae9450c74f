"""The file that a cache is written to: no failure of the disk reaches HDF5 through it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any


class GuardedFile(io.FileIO):
    """A new file that keeps its first failure to itself, then drops what is written, until `check` raises it.

    HDF5 ends the process with a segmentation fault when a file is closed to which it could not write.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, "x+")
        self._failure: OSError | None = None

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        length = len(rest)
        try:
            while self._failure is None and len(rest):
                rest = rest[super().write(rest) :]  # a disk that fills up takes a part
        except OSError as error:
            self._failure = error
        return length

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size) if self._failure is None else (size or 0)
        except OSError as error:
            self._failure = error
            return size or 0


def writable(ids: Sequence[str]) -> list[str]:
    """Names as HDF5 can hold them: bytes that are no UTF-8 are escaped."""
    return [name.encode("utf-8", "backslashreplace").decode() for name in ids]
