"""Held-out images for the tests of threshold rules."""

import numpy as np

from oltr.contracts import HeldOut


def held_out(scores, predictions=None, *, labels=None, open_scores=None, num_classes=3, groups=None, scorer="msp"):
    scores = np.asarray(scores, dtype=getattr(scores, "dtype", np.float64))
    predictions = np.zeros(len(scores), dtype=np.int64) if predictions is None else np.asarray(predictions, np.int64)
    names = ("many", "medium", "few")
    return HeldOut(
        scorer=scorer,
        scores=scores,
        labels=predictions if labels is None else np.asarray(labels, np.int64),
        predictions=predictions,
        open_scores=None if open_scores is None else np.asarray(open_scores, dtype=scores.dtype),
        train_counts=np.full(num_classes, 5),
        groups=groups or {name: np.arange(num_classes) % 3 == index for index, name in enumerate(names)},
    )
