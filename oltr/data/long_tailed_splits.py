"""From labelled sets to the splits of a benchmark, by the split builder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import OPEN, UserError
from oltr.data.long_tail import Indices, LongTail, cut
from oltr.data.manifest import digest, sealed
from oltr.data.split import ImageSet, Splits


class Pool(ImageSet, Protocol):
    """Images of all classes, known and held out, from which sets are taken."""

    def take(self, indices: NDArray[np.int64], labels: NDArray[np.int64]) -> ImageSet: ...


def long_tailed_splits(
    *,
    kind: str,
    source: str,
    class_names: Sequence[str],
    tail: LongTail,
    pool: Pool,
    test: Pool | None = None,
    val: Pool | None = None,
    strangers: ImageSet | None = None,
) -> Splits:
    """Cuts ``pool``; sets that stand on their own, as ``test`` does in most benchmarks, only lose the held-out classes.

    The open set is the test images of the held-out classes, or ``strangers``. ``source`` is a checksum of what was cut.
    """
    parts = cut(pool.labels, num_classes=len(class_names), tail=tail)
    new_labels = parts.new_labels
    test_pool, test_from = (pool, parts.test) if test is None else (test, np.arange(len(test.labels)))
    val_pool, val_from = (pool, parts.val) if val is None else (val, np.arange(len(val.labels)))
    chosen = {
        "train": (pool, parts.train),
        "val": (val_pool, val_from[new_labels[val_pool.labels[val_from]] != OPEN]),
        "test": (test_pool, test_from[new_labels[test_pool.labels[test_from]] != OPEN]),
        "open": (test_pool, test_from[new_labels[test_pool.labels[test_from]] == OPEN]),
    }
    if len(chosen["val"][1]) == 0:
        raise UserError(
            "every training image is used, none is left for validation: set reserve_val: true, "
            "or a val_per_class above 0 and a higher imbalance_factor"
        )
    if len(chosen["test"][1]) == 0:
        raise UserError("there are no test images: set test_per_class, or give a folder of test images")
    sets = {name: _take(images, indices, new_labels) for name, (images, indices) in chosen.items()}
    manifest = {
        "kind": kind,
        "source": source,
        "options": _options(tail, new_labels),
        "images": {name: len(indices) for name, (_, indices) in chosen.items()},
        "indices": {name: digest(indices) for name, (_, indices) in chosen.items()},
    }
    return Splits(
        train=sets["train"],
        val=sets["val"],
        test=sets["test"],
        open=strangers if len(chosen["open"][1]) == 0 else sets["open"],
        class_names=tuple(name for name, label in zip(class_names, new_labels, strict=True) if label != OPEN),
        manifest=sealed(manifest),
    )


def _take(images: Pool, indices: Indices, new_labels: Indices) -> ImageSet:
    return images.take(indices, new_labels[images.labels[indices]])


def _options(tail: LongTail, new_labels: Indices) -> dict[str, object]:
    """The options as they took effect: open classes by their old labels, however they were chosen."""
    factor = tail.imbalance_factor
    return {
        "imbalance_factor": None if factor is None else float(factor),
        "profile": tail.profile,
        "largest": tail.largest,
        "open_classes": np.flatnonzero(new_labels == OPEN).tolist(),
        "index_rule": tail.index_rule,
        "seed": tail.seed,
        "val_per_class": tail.val_per_class,
        "reserve_val": tail.reserve_val,
        "test_per_class": tail.test_per_class,
    }
