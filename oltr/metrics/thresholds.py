"""Which images a threshold rejects; the rules that say where it lies are parts, the threshold rules."""

from __future__ import annotations

import numpy as np

from oltr.contracts import UserError
from oltr.metrics.inputs import BoolArray, FloatArray, IntArray, check_lengths, class_indices, score_array


def rejected(scores: FloatArray, threshold: float | FloatArray, predictions: IntArray | None = None) -> BoolArray:
    """Which images count as unknown, [N]: those scored above the threshold, compared in the precision of the scores.

    Where ``threshold`` is an array, one for each class, [C], the one of an image's predicted class counts.
    """
    array = score_array("scores", scores)
    limits = np.asarray(threshold)
    if np.isnan(limits).any():
        raise UserError("the threshold is not a number")
    if limits.ndim:
        if predictions is None:
            raise UserError("thresholds for each class need the predicted classes of the images")
        classes = class_indices("predictions", predictions, len(limits), allow_open=False)
        check_lengths(scores=array, predictions=classes)
        limits = limits[classes]
    with np.errstate(over="ignore"):  # what is beyond the precision's largest number accepts all
        return np.asarray(array > limits.astype(array.dtype))
