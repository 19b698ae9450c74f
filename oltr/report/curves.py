"""The curves that pictures draw, as plain numbers in the report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oltr.metrics.inputs import FloatArray, IntArray
from oltr.metrics.open_set import f_against_threshold
from oltr.metrics.ranking import roc_curve

POINTS = 200
BINS = 40


def curves(
    predictions: IntArray,
    labels: IntArray,
    scores: FloatArray,
    *,
    num_classes: int,
    kinds: Mapping[str, NDArray[np.bool_]],
) -> dict[str, Any]:
    """ROC, F-measures against threshold, and score histograms of one scorer, over known and open images, [N] each.

    ``kinds`` are masks over the images, [N]: known and open ones (``known``, ``open``), and those a histogram is of.
    """
    shares = roc_curve(scores[kinds["known"]], scores[kinds["open"]])
    if shares is None:
        return {}
    kept = _along(shares.false_positive_rate, shares.true_positive_rate)
    f = f_against_threshold(predictions, labels, scores, num_classes=num_classes, points=POINTS)
    return {
        "roc": {
            "open_accepted": plain(shares.false_positive_rate[kept]),
            "known_accepted": plain(shares.true_positive_rate[kept]),
        },
        "f_measures": {name: plain(values) for name, values in f.items()},
        "histogram": histogram(scores, kinds={name: mask for name, mask in kinds.items() if name != "known"}),
    }


def histogram(scores: FloatArray, *, kinds: Mapping[str, NDArray[np.bool_]]) -> dict[str, Any]:
    """The share of each kind's images in every bin, None for a kind without images.

    The bins span all but the outermost thousandth of the scores on either side; the end bins count what lies outside.
    """
    low, high = (float(value) for value in np.quantile(scores, (0.001, 0.999)))
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    shares = {}
    for name, mask in kinds.items():
        counts, _ = np.histogram(np.clip(scores[mask].astype(np.float64), low, high), bins=edges)
        shares[name] = plain(counts / mask.sum()) if mask.any() else None
    return {"edges": plain(edges), "shares": shares}


def plain(values: FloatArray) -> list[float | None]:
    """``values`` as numbers of six digits for JSON, NaN as None."""
    return [None if math.isnan(value) else float(f"{value:.6g}") for value in values.tolist()]


def _along(across: NDArray[np.float64], up: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of points evenly spaced along a rising curve, both ends among them."""
    length = across + up  # of the walk along the axes, since both rise
    if len(length) <= 2 * POINTS:
        return np.arange(len(length))
    near = np.searchsorted(length, np.linspace(length[0], length[-1], 2 * POINTS))
    return np.unique(np.clip(near, 0, len(length) - 1))
