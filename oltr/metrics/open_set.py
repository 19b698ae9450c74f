"""Open-set metrics at a threshold, where images may be rejected as unknown, and along many thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import OPEN, UserError
from oltr.metrics.closed import class_accuracies, group_means
from oltr.metrics.f_measures import F_MEASURES, count_decisions, f_measures
from oltr.metrics.inputs import (
    BoolArray,
    FloatArray,
    Groups,
    IntArray,
    check_lengths,
    class_count,
    class_indices,
    defined,
    mask_array,
    mean,
    score_array,
)


def at_threshold(
    predictions: IntArray, labels: IntArray, unknown: BoolArray, groups: Groups, *, known_weight: float = 0.5
) -> dict[str, Any]:
    """All metrics of known and open images together, once some are rejected: ``unknown``, or predicted as OPEN.

    ``accuracy`` and that of the shot groups are over known images, a rejected one being an error. ``false_rejection``
    is the share of known images rejected, overall and of each group. Each F-measure is a dict: ``overall``, and for a
    group its known images against the whole open set. None where one is not defined.
    """
    num_classes = class_count(groups)
    predictions = class_indices("predictions", predictions, num_classes, allow_open=True)
    labels = class_indices("labels", labels, num_classes, allow_open=True)
    unknown = mask_array("unknown", unknown)
    check_lengths(predictions=predictions, labels=labels, unknown=unknown)
    if not 0 <= known_weight <= 1:
        raise UserError(f"known_weight must be from 0 to 1, not {known_weight:g}")
    decided = np.where(unknown, OPEN, predictions)
    known, accepted = labels != OPEN, decided != OPEN
    accuracy, open_accuracy = mean(decided[known] == labels[known]), mean(~accepted[~known])
    return {
        "accuracy": accuracy,
        **group_means(class_accuracies(labels, decided, num_classes), groups),
        "known_acceptance": mean(accepted[known]),
        "false_rejection": {
            "overall": mean(~accepted[known]),
            **{name: mean(~accepted[np.append(mask, False)[labels]]) for name, mask in groups.items()},
        },
        "open_set_accuracy": open_accuracy,
        **_f_by_group(decided, labels, groups),
        "normalised_accuracy": _weighted(accuracy, open_accuracy, known_weight),
        "harmonic_accuracy": _harmonic(accuracy, open_accuracy),
        "counts": {
            "known": int(known.sum()),
            "known_accepted": int((known & accepted).sum()),
            "known_right": int((known & (decided == labels)).sum()),
            "open": int((~known).sum()),
            "open_accepted": int((~known & accepted).sum()),
        },
    }


def f_against_threshold(
    predictions: IntArray,
    labels: IntArray,
    scores: FloatArray,
    *,
    num_classes: int,
    thresholds: FloatArray | None = None,
    points: int = 200,
) -> dict[str, NDArray[np.float64]]:
    """The four F-measures where images with a score above a threshold are rejected: arrays [T] by name, for plots.

    ``threshold`` holds the thresholds, rising: those given, or observed scores at ``points`` even quantiles, without
    repetition. NaN where a measure is not defined. n log n in the images.
    """
    predictions = class_indices("predictions", predictions, num_classes, allow_open=False)
    labels = class_indices("labels", labels, num_classes, allow_open=True)
    scores = score_array("scores", scores)
    check_lengths(predictions=predictions, labels=labels, scores=scores)
    if thresholds is not None:
        grid = np.sort(score_array("thresholds", thresholds).astype(scores.dtype))
    elif points < 1:
        raise UserError(f"a curve needs at least 1 point, not {points}")
    else:
        ordered = np.sort(scores)
        grid = np.unique(
            ordered[np.linspace(0, len(scores) - 1, points).round().astype(int)] if len(scores) else ordered
        )
    accepted_from = np.searchsorted(grid, scores, side="left")
    decisions = count_decisions(predictions, labels, accepted_from, num_classes=num_classes, num_thresholds=len(grid))
    curves = f_measures(decisions, np.ones(num_classes, dtype=bool))
    return {"threshold": grid.astype(np.float64), **{name: curves[name] for name in F_MEASURES}}


def rejection_curves(scores: Mapping[str, FloatArray], thresholds: FloatArray) -> dict[str, NDArray[np.float64] | None]:
    """The share of each kind of images that is rejected at each of ``thresholds``, [T] by kind; None for no images."""
    found: dict[str, NDArray[np.float64] | None] = {}
    for kind, given in scores.items():
        values = np.sort(score_array(kind, given))
        with np.errstate(over="ignore"):
            grid = score_array("thresholds", thresholds).astype(values.dtype)  # compared as `rejected` does
        accepted = np.searchsorted(values, grid, side="right")
        found[kind] = (len(values) - accepted) / len(values) if len(values) else None
    return found


def _f_by_group(
    decided: NDArray[np.int64], labels: NDArray[np.int64], groups: Groups
) -> dict[str, dict[str, float | None]]:
    """Each F-measure by name and group."""
    num_classes = class_count(groups)
    measures: dict[str, dict[str, float | None]] = {}
    for group, classes in {"overall": np.ones(num_classes, dtype=bool), **groups}.items():
        images = np.append(classes, True)[labels]  # OPEN, -1, finds the last entry
        decisions = count_decisions(
            decided[images],
            labels[images],
            (decided[images] == OPEN).astype(np.int64),
            num_classes=num_classes,
            num_thresholds=1,
        )
        for name, value in f_measures(decisions, classes).items():
            measures.setdefault(name, {})[group] = defined(value[0])
    return measures


def _weighted(known: float | None, unknown: float | None, weight: float) -> float | None:
    return None if known is None or unknown is None else weight * known + (1 - weight) * unknown


def _harmonic(known: float | None, unknown: float | None) -> float | None:
    if known is None or unknown is None:
        return None
    return 2 * known * unknown / (known + unknown) if known + unknown > 0 else 0.0
