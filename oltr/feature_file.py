"""The file of a feature cache: one array, read by mapping it into memory, with a checksum over all of it."""

from __future__ import annotations

import logging
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oltr.contracts import RunError
from oltr.hdf5 import creating

MEMORY = 2**30
"""Bytes up to which values are held in memory; of larger files the system keeps what it has room for."""
BLOCK = 2**24
"""Bytes whose checksum is taken at a time."""
KINDS: dict[torch.dtype, str] = {torch.float32: "<f4", torch.float16: "<f2", torch.bfloat16: "<i2"}
"""How each precision is written; HDF5 knows no bfloat16, so its bits stand as integers."""

log = logging.getLogger("oltr")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """So many views of so many images, a row each, view after view."""

    views: int
    images: int
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def rows(self) -> int:
        return self.views * self.images

    @property
    def bytes(self) -> int:
        return self.rows * prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        views = f" x {self.views} views" if self.views > 1 else ""
        sides = " x ".join(f"{side:,}" for side in self.shape)
        kind = str(self.dtype).removeprefix("torch.")
        return f"{self.images:,} images{views} of {sides} values in {kind}: {self.bytes / 1e9:,.3g} GB"


def write(path: Path, identity: str, layout: Layout, blocks: Iterable[Tensor]) -> None:
    """All rows in order, as ``blocks`` of them; what stood at ``path`` stays until they are all there."""
    checksum, start = 0, 0
    with creating(path) as (file, stream):
        values = file.create_dataset("values", (layout.rows, *layout.shape), KINDS[layout.dtype])
        for block in blocks:
            rows = _bits(_finite(block.to(layout.dtype)))
            values[start : start + len(rows)] = rows
            stream.check()
            checksum, start = zlib.crc32(rows.reshape(-1).view(np.uint8).data, checksum), start + len(rows)
        file.attrs.update({"identity": identity, "checksum": checksum})


def mapped(path: Path, identity: str, layout: Layout, *, verify: bool = True) -> Tensor | None:
    """The rows of a file, in memory where they are few; None where there is none, or one that is damaged."""
    if not path.exists():
        return None
    try:
        with h5py.File(path, "r") as file:
            values, checksum = file["values"], int(file.attrs["checksum"])
            same = file.attrs["identity"] == identity and values.shape == (layout.rows, *layout.shape)
            offset = values.id.get_offset()
        if not same or offset is None:
            raise ValueError("it holds something else")
        # mode r: of what could be written to, the system maps no more than its memory holds
        rows: NDArray[Any] = np.memmap(path, KINDS[layout.dtype], "r", offset, (layout.rows, *layout.shape))
        if verify and _checksum(rows) != checksum:
            raise ValueError("its checksum is wrong")
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        log.warning("the feature cache %s is damaged (%s); making it again", path, str(error).splitlines()[0])
        return None
    found = _read_only(rows)
    found = found.view(torch.bfloat16) if layout.dtype == torch.bfloat16 else found
    return found.clone() if layout.bytes <= MEMORY else found


def _read_only(rows: NDArray[Any]) -> Tensor:
    """An array as a tensor that nobody writes to, of which torch would warn."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(rows)


def _checksum(rows: NDArray[Any]) -> int:
    flat, checksum = rows.reshape(-1).view(np.uint8), 0
    for start in range(0, len(flat), BLOCK):
        checksum = zlib.crc32(flat[start : start + BLOCK].data, checksum)
    return checksum


def _bits(block: Tensor) -> NDArray[Any]:
    whole = block.cpu().contiguous()
    return (whole.view(torch.int16) if whole.dtype == torch.bfloat16 else whole).numpy()


def _finite(block: Tensor) -> Tensor:
    if not bool(torch.isfinite(block).all()):
        kind = str(block.dtype).removeprefix("torch.")
        raise RunError(f"feature_cache: values of the frozen backbone are not finite in {kind}: try precision float32")
    return block
