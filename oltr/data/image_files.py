"""Images in files, read by index: JPEG, PNG and whatever else Pillow knows."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from oltr.contracts import UserError

try:
    from torchvision.io import decode_image as _decode_quickly  # deprecated: it may go, and then Pillow does it all
except ImportError:
    _decode_quickly = None

_SHORT = 1 << 32
"""Bytes of names up to which four bytes tell where one ends."""


class Paths(Sequence[str]):
    """File names as one run of bytes and where each ends: 4 bytes a name beside the name, 8 beyond 4 GB of names."""

    def __init__(self, names: Sequence[bytes]) -> None:
        self._text = b"".join(names)
        self._ends = np.zeros(len(names) + 1, dtype=np.uint32 if len(self._text) < _SHORT else np.int64)
        lengths = np.fromiter(map(len, names), dtype=self._ends.dtype, count=len(names))
        np.cumsum(lengths, dtype=self._ends.dtype, out=self._ends[1:])

    @classmethod
    def joined(cls, parts: Sequence[Paths]) -> Paths:
        """All names of several, in order."""
        whole = cls([])
        whole._text = b"".join(part._text for part in parts)
        kind = np.uint32 if len(whole._text) < _SHORT else np.int64
        starts = np.cumsum([0, *(len(part._text) for part in parts)])
        ends = [part._ends[1:].astype(kind) + kind(start) for part, start in zip(parts, starts, strict=False)]
        whole._ends = np.concatenate([np.zeros(1, kind), *ends])
        return whole

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        chosen = range(len(self))[index]
        if isinstance(chosen, range):
            return [self[position] for position in chosen]
        return os.fsdecode(self._text[self._ends[chosen] : self._ends[chosen + 1]])


class ImageFiles:
    """An image set over files below ``folder``; ``list_file`` is the list, one line an image, that names them.

    Where ``least`` says to how many pixels, large JPEG files are scaled down as they are decoded.
    """

    def __init__(
        self,
        *,
        folder: Path,
        ids: Sequence[str],
        labels: NDArray[np.int64],
        list_file: Path | None = None,
        least: int | None = None,
    ) -> None:
        self.folder = folder
        self.least = least
        self.ids = ids
        self.labels = labels
        self.list_file = list_file

    def read(self, indices: Sequence[int]) -> list[Tensor]:
        """In as many threads as torch may compute in, which in a worker process is one: decoding waits for no other."""
        chosen = [int(index) for index in indices]
        threads = min(torch.get_num_threads(), len(chosen))
        with _without_deprecation():
            if threads < 2:
                return [self._read(index) for index in chosen]
            with ThreadPoolExecutor(threads) as pool:
                return list(pool.map(self._read, chosen))

    def take(self, indices: NDArray[np.int64], labels: NDArray[np.int64]) -> ImageFiles:
        """The images at ``indices``, with new labels."""
        names = Paths([os.fsencode(self.ids[int(index)]) for index in indices])
        return ImageFiles(folder=self.folder, ids=names, labels=labels, least=self.least)

    def at_least(self, side: int) -> ImageFiles:
        """The same images, JPEG files at a half, a quarter or an eighth of their size where both sides stay ``side``.

        The decoder then averages over blocks of pixels, and leaves out the details that it does not show.
        """
        return ImageFiles(folder=self.folder, ids=self.ids, labels=self.labels, list_file=self.list_file, least=side)

    def fingerprint(self) -> str:
        """What tells these files from others of the same names: where they lie, their sizes and times."""
        digest = hashlib.sha256(os.fsencode(self.folder.resolve()))
        for name in self.ids:
            path = self.folder / name
            facts = path.stat() if path.is_file() else None
            digest.update(b"%d %d;" % (facts.st_size, facts.st_mtime_ns) if facts else b"missing;")
        return digest.hexdigest()

    def _read(self, index: int) -> Tensor:
        path = self.folder / self.ids[index]
        try:
            data = path.read_bytes()
            scaled = None if self.least is None else _scaled(data, self.least)
            return _decoded(data) if scaled is None else scaled
        except FileNotFoundError:
            reason = "there is no such file"
        except UnidentifiedImageError:
            reason = "it is no image, or in no format known here"
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            reason = f"it cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        line = index % len(self.ids) + 1
        raise UserError(f"image {path}{f' ({self.list_file}:{line})' if self.list_file else ''}: {reason}")


def decoder() -> str:
    """What decodes JPEG and PNG files here."""
    return "Pillow" if _decode_quickly is None else "torchvision"


def decode(data: bytes) -> Tensor:
    """The image in an encoded file, uint8 [3, h, w]: the first frame, without transparency, not turned by its EXIF."""
    with _without_deprecation():
        return _decoded(data)


@contextmanager
def _without_deprecation() -> Iterator[None]:
    """torchvision warns of its decoder at each image. Outside of the threads: filters of warnings belong to all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _scaled(data: bytes, least: int) -> Tensor | None:
    """A JPEG file at the smallest of the decoder's scales at which both sides are ``least``; None if that is the whole.

    By Pillow, since torchvision's decoder has no scales.
    """
    with Image.open(io.BytesIO(data)) as picture:
        if picture.format != "JPEG" or min(picture.size) < 2 * least:
            return None
        picture.draft("RGB", (least, least))
        return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)


def _decoded(data: bytes) -> Tensor:
    if _decode_quickly is not None and data:
        try:
            image: Tensor = _decode_quickly(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode="RGB")
        except RuntimeError:  # a format that Pillow alone reads, or a broken file, which Pillow's words name better
            pass
        else:
            if image.dtype == torch.uint16:
                return (image.to(torch.int32) // 257).to(torch.uint8)
            if image.ndim == 3:
                return image
    with Image.open(io.BytesIO(data)) as picture:
        return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)
