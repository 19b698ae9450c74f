"""How the prediction store is written: batch by batch while the network runs, and whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oltr.contracts import OPEN, Head, RunError, UserError
from oltr.hdf5 import creating
from oltr.predictions import PARTS, SCHEMA, UNKNOWN

CHUNK_BYTES = 1 << 17

Array = NDArray[Any]


class PredictionWriter:
    """A store in the making: batches are appended while the network runs, and the file appears when all went well.

    ``feature_dim`` is 0 where no features are known. ``head`` is the network's last layer, where that is linear, and
    ``penultimate_dim`` the width of what it acts on, where that is not the features. When the block is left by an
    exception, an older store at ``path`` stays as it was.
    """

    def __init__(
        self,
        path: Path,
        *,
        num_classes: int,
        feature_dim: int,
        train_counts: Sequence[int] | Array,
        class_names: Sequence[str],
        provenance: Mapping[str, Any],
        head: Head | None = None,
        penultimate_dim: int = 0,
    ) -> None:
        self.path = path
        self._widths = {"features": feature_dim, "logits": num_classes, "penultimate": penultimate_dim}
        self._counts = np.asarray(train_counts, dtype=np.int64)
        self._names = [str(name) for name in class_names]
        for what, given in (("training counts", len(self._counts)), ("class names", len(self._names))):
            if given != num_classes:
                raise UserError(f"{path}: {given} {what} for {num_classes} classes")
        self._head = None if head is None else Head(*(_numpy(values, np.float32) for values in head))  # type: ignore[arg-type]
        wanted = ((num_classes, penultimate_dim or feature_dim), (num_classes,))
        if self._head is not None and (self._head.weight.shape, self._head.bias.shape) != wanted:
            raise UserError(f"{path}: a head of {self._head.weight.shape} and {self._head.bias.shape}, wanted {wanted}")
        self._provenance = json.dumps(provenance, allow_nan=False)

    def __enter__(self) -> PredictionWriter:
        with ExitStack() as stack:
            self._file, self._stream = stack.enter_context(creating(self.path))
            self._file.attrs["schema"] = SCHEMA
            self._file["train_counts"] = self._counts
            self._file.create_dataset("class_names", data=self._names, dtype=h5py.string_dtype())
            self._file.create_dataset("provenance", data=self._provenance, dtype=h5py.string_dtype())
            for name, values in (self._head._asdict() if self._head is not None else {}).items():
                self._file[f"head/{name}"] = values
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def centroids(self, centroids: Array | Tensor, source: str) -> None:
        """The class centroids [C, D] that scorers measure distances to; ``source`` is "memory" or "class means"."""
        values = _numpy(centroids, np.float32)
        if values.shape != (self._widths["logits"], self._widths["features"]):
            wanted = (self._widths["logits"], self._widths["features"])
            raise UserError(f"{self.path}: centroids {values.shape}, wanted {wanted}")
        self._file.create_dataset("centroids", data=values).attrs["source"] = source
        self._stream.check()

    def network_scores(self, part: str, scorer: str, options: Mapping[str, Any], scores: Array | Tensor) -> None:
        """What a scorer that runs the network gave every image of ``part``, [N]."""
        group, values = self._file[part], _numpy(scores, np.float32)
        if values.shape != group["labels"].shape or not np.isfinite(values).all():
            told = f"{values.shape}, {int(np.isfinite(values).sum())} of them finite"
            raise RunError(f"scorer {scorer} must give one finite number an image of the {part} set, not {told}")
        group.create_dataset(f"scores/{scorer}", data=values, fletcher32=True, chunks=True).attrs["options"] = (
            json.dumps(options)
        )
        self._stream.check()

    def add(
        self,
        part: str,
        features: Array | Tensor,
        logits: Array | Tensor,
        labels: Array | Tensor,
        ids: Sequence[str],
        penultimate: Array | Tensor | None = None,
    ) -> None:
        """Append a batch to ``part``: features [n, D], logits [n, C], labels [n] (OPEN in open parts), ids [n].

        ``penultimate`` [n, E] where the store was made for it.
        """
        if part not in PARTS:
            raise UserError(f"{self.path}: no part named {part!r}; there are {', '.join(PARTS)}")
        batch = {
            "features": _numpy(features, np.float32),
            "logits": _numpy(logits, np.float32),
            "penultimate": _numpy(np.empty((len(labels), 0)) if penultimate is None else penultimate, np.float32),
            "labels": _numpy(labels, np.int64),
            "ids": np.array([name.encode("utf-8", "backslashreplace").decode() for name in ids], dtype=object),
        }
        self._check(part, batch)
        group = self._file[part] if part in self._file else self._new_part(part)
        start = len(group["labels"])
        for name, values in batch.items():
            if name in group:
                group[name].resize(start + len(values), axis=0)
                group[name][start:] = values
        self._stream.check()

    def _new_part(self, part: str) -> h5py.Group:
        group = self._file.create_group(part)
        for name, width in self._widths.items():
            if width:  # HDF5 has no columns of width 0: a store without features has no such data set
                rows = max(1, CHUNK_BYTES // (4 * width))
                group.create_dataset(
                    name, (0, width), np.float32, maxshape=(None, width), chunks=(rows, width), fletcher32=True
                )
        group.create_dataset("labels", (0,), np.int64, maxshape=(None,), chunks=(4096,), fletcher32=True)
        group.create_dataset("ids", (0,), h5py.string_dtype(), maxshape=(None,), chunks=(4096,))
        return group

    def _check(self, part: str, batch: Mapping[str, Array]) -> None:
        size = len(batch["labels"])
        wanted = {name: (size, width) for name, width in self._widths.items()} | {"labels": (size,), "ids": (size,)}
        for name, shape in wanted.items():
            if batch[name].shape != shape:
                raise UserError(f"{self.path}: {name} {batch[name].shape} of part {part}, wanted {shape}")
        low, high = (OPEN, OPEN) if part in UNKNOWN else (0, self._widths["logits"] - 1)
        wrong = (batch["labels"] < low) | (batch["labels"] > high)
        if wrong.any():
            label = batch["labels"][wrong][0]
            raise UserError(f"{self.path}: label {label} in part {part}, where labels are {low} to {high}")
        finite = np.logical_and.reduce([np.isfinite(batch[name]).all(axis=1) for name in self._widths])
        if not finite.all():
            name = batch["ids"][~finite][0]
            raise RunError(
                f"the network's answer to image {name!r} of the {part} set is not finite: no predictions stored"
            )


def _numpy(values: Array | Tensor, kind: Any) -> Array:
    if isinstance(values, Tensor):
        values = values.detach().cpu().to(torch.float32 if values.is_floating_point() else values.dtype).numpy()
    return np.asarray(values, dtype=kind)
