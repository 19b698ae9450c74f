"""The labels of a long-tailed training set, for inputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def long_tailed_labels(*, images: int, classes: int) -> NDArray[np.int64]:
    """Shuffled labels [images], exponentially fewer from class to class, each class with one image at least."""
    weights = np.geomspace(256, 1, classes)
    counts = 1 + np.floor((images - classes) * weights / weights.sum()).astype(np.int64)
    counts[0] += images - counts.sum()
    labels = np.repeat(np.arange(classes, dtype=np.int64), counts)
    np.random.default_rng(0).shuffle(labels)
    return labels
