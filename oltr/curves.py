"""The curves that pictures draw, as plain numbers in the report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oltr.metrics.inputs import FloatArray, IntArray
from oltr.metrics.open_set import f_against_threshold, rejection_curves
from oltr.metrics.ranking import roc_curve

POINTS = 200
BINS = 40


def curves(
    predictions: IntArray,
    labels: IntArray,
    scores: FloatArray,
    *,
    num_classes: int,
    known: Mapping[str, NDArray[np.bool_]],
    far: FloatArray | None = None,
) -> dict[str, Any]:
    """ROC, F-measures and shares rejected against the threshold, and score histograms of one scorer.

    ``known`` are masks over the images, [N], of which the rest are open: ``known`` itself and its groups, ``few`` among
    them. ``far`` are scores of a second open set, which is in the histogram and among the shares rejected only. Empty
    where there is nothing to tell apart.
    """
    everything, few = known["known"], known["few"]
    shares = roc(scores[everything], scores[~everything])
    if shares is None:
        return {}
    f = f_against_threshold(predictions, labels, scores, num_classes=num_classes, points=POINTS)
    parts = {**{name: scores[mask] for name, mask in known.items()}, "open": scores[~everything], "far": far}
    present = {name: values for name, values in parts.items() if values is not None and len(values)}
    away = rejection_curves(present, f["threshold"])
    kinds = {"common": scores[everything & ~few], "few": scores[few], "open": scores[~everything]}
    return {
        "roc": shares,
        "f_measures": {name: plain(values) for name, values in f.items()},
        "rejection": {
            **dict.fromkeys(parts),
            **{name: plain(values) for name, values in away.items() if values is not None},
        },
        "histogram": histogram(kinds if far is None else {**kinds, "far": far}),
    }


def roc(known: FloatArray, unknown: FloatArray) -> dict[str, Any] | None:
    """Shares of open and of known images accepted, thinned; None without images of either kind."""
    shares = roc_curve(known, unknown)
    if shares is None:
        return None
    kept = _along(shares.false_positive_rate, shares.true_positive_rate)
    return {
        "open_accepted": plain(shares.false_positive_rate[kept]),
        "known_accepted": plain(shares.true_positive_rate[kept]),
    }


def histogram(kinds: Mapping[str, FloatArray]) -> dict[str, Any]:
    """The share of each kind's images in every bin, None for a kind without images.

    The bins span all but the outermost thousandth of the scores on either side; the end bins count what lies outside.
    """
    low, high = (float(value) for value in np.quantile(np.concatenate(list(kinds.values())), (0.001, 0.999)))
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    shares = {}
    for name, scores in kinds.items():
        counts, _ = np.histogram(np.clip(scores.astype(np.float64), low, high), bins=edges)
        shares[name] = plain(counts / len(scores)) if len(scores) else None
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
