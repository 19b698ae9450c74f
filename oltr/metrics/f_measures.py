"""The open-set F-measures in circulation, from counts of what was accepted, at one threshold or along many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import OPEN
from oltr.metrics.closed import class_f1
from oltr.metrics.inputs import BoolArray, ratio

F_MEASURES = ("f_oltr2020", "f_oltr2019", "f_micro", "f1_macro_k1")
"""The named definitions; ``f1_macro_known`` and ``f1_unknown`` are the parts of the last one."""


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """Counts of what happened to known and open images at each of T thresholds."""

    right: NDArray[np.int64]  # [C, T] known images accepted and rightly classified
    predicted: NDArray[np.int64]  # [C, T] accepted images by predicted class, known and open
    actual: NDArray[np.int64]  # [C] known images
    open_accepted: NDArray[np.int64]  # [T]
    open: int


def count_decisions(
    predictions: NDArray[np.int64],
    labels: NDArray[np.int64],
    accepted_from: NDArray[np.int64],
    *,
    num_classes: int,
    num_thresholds: int,
) -> Decisions:
    """The decisions on images that are accepted from a certain threshold on, [N]; ``num_thresholds`` means never."""

    def rising(rows: NDArray[np.int64], steps: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        cells = np.bincount(rows * num_thresholds + steps, minlength=count * num_thresholds)
        return cells.reshape(count, num_thresholds).cumsum(axis=1)

    ever = accepted_from < num_thresholds
    right, open_ = ever & (predictions == labels), labels == OPEN
    open_steps = accepted_from[ever & open_]
    return Decisions(
        right=rising(labels[right], accepted_from[right], num_classes),
        predicted=rising(predictions[ever], accepted_from[ever], num_classes),
        actual=np.bincount(labels[~open_], minlength=num_classes),
        open_accepted=rising(np.zeros_like(open_steps), open_steps, 1)[0],
        open=int(np.count_nonzero(open_)),
    )


def f_measures(decisions: Decisions, classes: BoolArray) -> dict[str, NDArray[np.float64]]:
    """Every F-measure by name, [T] each; NaN where precision or recall has nothing to divide by.

    ``f_oltr2020`` counts a rejected known image as a false positive (the code of Liu et al., 2019, since January 2020
    and before March 2019), ``f_oltr2019`` nowhere (their code in between); in both an accepted open image is a false
    negative. ``f_micro`` takes that as a false positive, and a known image that is not accepted and right as a false
    negative (Scheirer et al., 2013; Mendes-Júnior et al., 2017). ``f1_macro_k1`` is the mean of F1 over ``classes`` and
    the unknown class, of those present or predicted; ``f1_macro_known`` and ``f1_unknown`` are its parts.
    """
    right, known = decisions.right.sum(axis=0), decisions.actual.sum()
    accepted = decisions.predicted.sum(axis=0)
    wrong = accepted - decisions.open_accepted - right  # accepted known images of another class
    open_rejected, rejected = decisions.open - decisions.open_accepted, known + decisions.open - accepted
    by_class = class_f1(decisions.right, decisions.predicted, decisions.actual[:, None])[classes]
    unknown = class_f1(open_rejected, rejected, np.full_like(rejected, decisions.open))
    return {
        "f_oltr2020": _f_measure(right, known - right, decisions.open_accepted),
        "f_oltr2019": _f_measure(right, wrong, decisions.open_accepted),
        "f_micro": _f_measure(right, accepted - right, known - right),
        "f1_macro_k1": _column_means(np.vstack([by_class, unknown])),
        "f1_macro_known": _column_means(by_class),
        "f1_unknown": unknown,
    }


def _f_measure(
    true_positive: NDArray[np.int64], false_positive: NDArray[np.int64], false_negative: NDArray[np.int64]
) -> NDArray[np.float64]:
    retrieved, relevant = true_positive + false_positive, true_positive + false_negative
    return ratio(2 * true_positive, np.where((retrieved > 0) & (relevant > 0), retrieved + relevant, 0))


def _column_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each column over its entries that are not NaN; NaN where it has none."""
    return ratio(np.nansum(values, axis=0), (~np.isnan(values)).sum(axis=0))
