"""Fashion-MNIST-LT, from idx files (Xiao et al., 2017)."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from oltr.contracts import UserError
from oltr.data.array_images import ArrayImages
from oltr.data.long_tailed_arrays import LongTailedArrays, Source

_SIDE = 28
_UINT8 = 0x08


class FashionMnistLT(LongTailedArrays):
    """Fashion-MNIST made long-tailed: grey clothes, read as RGB, with a black border where ``image_size`` is above 28.

    The files may be packed (.gz) or plain, and lie as torchvision or Debian's `dataset-fashion-mnist` put them.
    """

    title = "Fashion-MNIST"
    folders = (".", "FashionMNIST/raw", "fashion-mnist", "raw")
    needed = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    num_classes = 10
    num_train = 60_000
    class_names = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )

    def __init__(
        self,
        *,
        root: Path | None,
        imbalance_factor: float = 100.0,
        profile: str = "exponential",
        largest: int | None = None,
        open_classes: int | Sequence[int] = 0,
        index_rule: str = "cao",
        seed: int = 0,
        val_per_class: int | None = None,
        reserve_val: bool = False,
        image_size: int = _SIDE,
    ) -> None:
        super().__init__(
            root=root,
            imbalance_factor=imbalance_factor,
            profile=profile,
            largest=largest,
            open_classes=open_classes,
            index_rule=index_rule,
            seed=seed,
            val_per_class=val_per_class,
            reserve_val=reserve_val,
        )
        if image_size < _SIDE:
            raise UserError(f"image_size is {_SIDE} or more for Fashion-MNIST, not {image_size}")
        self.image_size = image_size

    def find(self, name: str) -> Path | None:
        return super().find(name) or super().find(f"{name}.gz")

    def read(self) -> Source:
        return Source(train=self._images("train"), test=self._images("t10k"), class_names=self.class_names)

    def _images(self, part: str) -> ArrayImages:
        image_file, label_file = self.file(f"{part}-images-idx3-ubyte"), self.file(f"{part}-labels-idx1-ubyte")
        pixels, labels = read_idx(image_file), read_idx(label_file).astype(np.int64)
        if pixels.ndim != 3 or pixels.shape[1:] != (_SIDE, _SIDE) or labels.shape != pixels.shape[:1]:
            raise UserError(
                f"{image_file} holds {pixels.shape} and {label_file.name} {labels.shape}: not one set of 28 x 28"
            )
        if len(labels) and labels.max() >= self.num_classes:
            raise UserError(f"{label_file} has label {labels.max()}, but the classes are 0 to {self.num_classes - 1}")
        border = self.image_size - _SIDE
        before, after = border // 2, border - border // 2
        padded = np.pad(pixels, ((0, 0), (before, after), (before, after)))[:, None]  # [N, 1, h, w]
        ids = [f"{'train' if part == 'train' else 'test'}/{index}" for index in range(len(labels))]
        return ArrayImages(images=torch.from_numpy(padded), labels=labels, ids=ids)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in an idx file of bytes (LeCun et al., 1998), packed or not."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    dims = data[3] if len(data) > 3 else 0
    start = 4 + 4 * dims
    if data[:3] != bytes((0, 0, _UINT8)) or len(data) < start:
        raise UserError(f"{path} is no idx file of bytes")
    shape = tuple(int(size) for size in np.frombuffer(data[4:start], dtype=">u4"))
    values = np.frombuffer(data, dtype=np.uint8, offset=start)
    if len(values) != np.prod(shape, dtype=np.float64):
        raise UserError(
            f"{path} holds {len(values):,} bytes of data for an array of shape {shape}: it is cut short or damaged"
        )
    return values.reshape(shape)
