"""CIFAR-10-LT and CIFAR-100-LT, from the files that torchvision unpacks (Krizhevsky, 2009; Cui et al., 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from oltr.contracts import UserError
from oltr.data.array_images import ArrayImages
from oltr.data.long_tailed_arrays import LongTailedArrays, Source
from oltr.data.plain_pickle import load_plain

_SIDE = 32


class _Cifar(LongTailedArrays):
    train_files: ClassVar[tuple[str, ...]]
    test_files: ClassVar[tuple[str, ...]]
    names_file: ClassVar[str]
    labels_key: ClassVar[bytes]
    names_key: ClassVar[bytes]

    num_train = 50_000

    def read(self) -> Source:
        names = self._batch(self.names_file, self.names_key)[self.names_key]
        if len(names) != self.num_classes:
            raise UserError(f"{self.file(self.names_file)} names {len(names)} classes, not {self.num_classes}")
        return Source(
            train=self._images("train", self.train_files),
            test=self._images("test", self.test_files),
            class_names=tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names),
        )

    def _images(self, split: str, files: Sequence[str]) -> ArrayImages:
        batches = [self._images_of(name) for name in files]
        pixels = np.concatenate([batch[0] for batch in batches])
        labels = np.concatenate([batch[1] for batch in batches])
        ids = [f"{split}/{index}" for index in range(len(labels))]
        return ArrayImages(images=torch.from_numpy(pixels), labels=labels, ids=ids)

    def _images_of(self, name: str) -> tuple[Any, Any]:
        """Pixels uint8 [N, 3, 32, 32] and labels [N] of one file."""
        batch = self._batch(name, b"data", self.labels_key)
        try:
            pixels = np.asarray(batch[b"data"])
            labels = np.asarray(batch[self.labels_key], dtype=np.int64)
        except (TypeError, ValueError, OverflowError):
            raise UserError(f"{self.file(name)} is no {self.title} batch: its values are no numbers") from None
        if pixels.dtype != np.uint8 or pixels.shape != (len(labels), 3 * _SIDE * _SIDE) or labels.ndim != 1:
            raise UserError(
                f"{self.file(name)} is no {self.title} batch: {pixels.dtype} data of shape {pixels.shape} "
                f"for {len(labels)} labels, not uint8 [N, {3 * _SIDE * _SIDE}]"
            )
        if len(labels) and not 0 <= labels.min() <= labels.max() < self.num_classes:
            raise UserError(f"{self.file(name)} has labels that are not from 0 to {self.num_classes - 1}")
        return pixels.reshape(-1, 3, _SIDE, _SIDE), labels

    def _batch(self, name: str, *keys: bytes) -> Mapping[bytes, Any]:
        path = self.file(name)
        batch = load_plain(path)
        if not isinstance(batch, dict) or any(not hasattr(batch.get(key), "__len__") for key in keys):
            wanted = ", ".join(key.decode() for key in keys)
            raise UserError(f"{path} is no {self.title} file: it lacks {wanted}")
        return batch


class Cifar10LT(_Cifar):
    """CIFAR-10-LT: 5,000 images in the largest class, 50 in the smallest at an imbalance factor of 100."""

    title = "CIFAR-10"
    folders = (".", "cifar-10-batches-py")
    num_classes = 10
    train_files = tuple(f"data_batch_{index}" for index in range(1, 6))
    test_files = ("test_batch",)
    names_file = "batches.meta"
    needed = (*train_files, *test_files, names_file)
    labels_key = b"labels"
    names_key = b"label_names"


class Cifar100LT(_Cifar):
    """CIFAR-100-LT: 500 images in the largest class, 5 in the smallest at an imbalance factor of 100."""

    title = "CIFAR-100"
    folders = (".", "cifar-100-python")
    num_classes = 100
    train_files = ("train",)
    test_files = ("test",)
    names_file = "meta"
    needed = (*train_files, *test_files, names_file)
    labels_key = b"fine_labels"
    names_key = b"fine_label_names"
