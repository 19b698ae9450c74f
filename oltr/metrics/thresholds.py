"""Threshold rules: from which score on an image is rejected as unknown."""

from __future__ import annotations

import math

import numpy as np

from oltr.contracts import UserError
from oltr.metrics.inputs import BoolArray, FloatArray, score_array


def known_acceptance(scores_known: FloatArray, *, rate: float = 0.95) -> float:
    """The lowest threshold at which at least ``rate`` of these known images, those of the validation set, are accepted.

    It is one of ``scores_known``, and since an image at the threshold is accepted, ties can only raise the share.
    """
    scores = score_array("scores_known", scores_known)
    if not 0 < rate <= 1:
        raise UserError(f"the acceptance rate must be above 0 and at most 1, not {rate:g}")
    count = len(scores)
    if count == 0:
        raise UserError("a threshold by acceptance needs known validation images, but there are none")
    accepted = math.ceil(rate * count)
    if (accepted - 1) / count >= rate:  # the product was rounded up
        accepted -= 1
    accepted = min(max(accepted, 1), count)
    return float(np.partition(scores, accepted - 1)[accepted - 1])


def fixed(confidence: float) -> float:
    """The threshold on the score ``-max softmax`` that rejects a confidence below this one, and accepts an equal one.

    The original's rule, with 0.1 there (Liu et al., 2019).
    """
    if not 0 <= confidence <= 1:
        raise UserError(f"a fixed threshold is a confidence from 0 to 1, not {confidence:g}")
    return -confidence


def rejected(scores: FloatArray, threshold: float) -> BoolArray:
    """Which images count as unknown, [N]: those scored above ``threshold``, compared in the precision of the scores."""
    array = score_array("scores", scores)
    if math.isnan(threshold):
        raise UserError("the threshold is not a number")
    return np.asarray(array > array.dtype.type(threshold))
