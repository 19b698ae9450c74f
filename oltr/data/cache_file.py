"""What stands in a cache file beside the images: names, and what tells damage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def checksums(images: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Of each image [N, ...] the sum of its bytes four at a time, which any change within four of them changes.

    Eight times as fast as a CRC: it is taken whenever an image is read. What a disk does to a file it notices; that an
    image's own bytes have changed places, by multiples of four, it does not.
    """
    rows = images.reshape(len(images), -1)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))) if rows.shape[1] % 4 else rows
    sums: NDArray[np.uint32] = rows.view("<u4").sum(axis=1, dtype=np.uint32)
    return sums


def reason(error: Exception) -> str:
    """An error in one line."""
    told = getattr(error, "strerror", None) or " ".join(map(str, error.args)).strip() or type(error).__name__
    return str(told).splitlines()[0]


def writable(ids: Sequence[str]) -> list[str]:
    """Names as HDF5 can hold them: bytes that are no UTF-8 are escaped."""
    return [name.encode("utf-8", "backslashreplace").decode() for name in ids]
