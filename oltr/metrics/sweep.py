"""One pass over all thresholds of a score, and the areas and shares that can be read off it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oltr.metrics.inputs import BoolArray, FloatArray, check_lengths, mask_array, score_array


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """How many images are accepted at each distinct score, rising, after a first threshold that accepts none."""

    thresholds: NDArray[np.float64]  # [T]
    known: NDArray[np.int64]  # [T]
    correct: NDArray[np.int64]  # [T]
    open: NDArray[np.int64]  # [T]

    def auroc(self) -> float:
        return self._area_over_open(self.known)

    def oscr(self) -> float:
        return self._area_over_open(self.correct)

    def aupr_in(self, *, trapezoid: bool = False) -> float:
        return _precision_recall_area(self.known, self.open, trapezoid=trapezoid)

    def aupr_out(self, *, trapezoid: bool = False) -> float:
        known, open_ = ((counts[-1] - counts)[::-1] for counts in (self.known, self.open))
        return _precision_recall_area(open_, known, trapezoid=trapezoid)

    def fpr_at_known(self, rate: float) -> float:
        first = np.argmax(self.known / self.known[-1] >= rate)
        return float(self.open[first] / self.open[-1])

    def frr_at_open(self, rate: float) -> float:
        rejected = self.open[-1] - self.open
        last = np.flatnonzero(rejected / self.open[-1] >= rate)[-1]
        return float((self.known[-1] - self.known[last]) / self.known[-1])

    def detection_accuracy(self) -> float:
        return float((1 + (self.known / self.known[-1] - self.open / self.open[-1]).max()) / 2)

    def _area_over_open(self, counts: NDArray[np.int64]) -> float:
        twice = np.dot(np.diff(self.open), counts[1:] + counts[:-1])  # whole numbers: exact
        return float(twice / (2 * int(self.open[-1]) * int(self.known[-1])))


def sweep_scores(scores_known: FloatArray, scores_open: FloatArray, correct: BoolArray | None = None) -> Sweep | None:
    """The sweep over these images; None without known or without open ones."""
    known, open_ = score_array("scores_known", scores_known), score_array("scores_open", scores_open)
    right = np.zeros(len(known), dtype=bool) if correct is None else mask_array("correct", correct)
    check_lengths(scores_known=known, correct=right)
    if not len(known) or not len(open_):
        return None
    scores = np.concatenate([known, open_])
    order = np.argsort(scores)
    scores = scores[order]
    last = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)  # of each distinct score

    def accepted(marks: BoolArray) -> NDArray[np.int64]:
        return np.append(0, np.cumsum(marks[order], dtype=np.int64)[last])

    is_known = np.arange(len(scores)) < len(known)
    is_right = np.append(right, np.zeros(len(open_), dtype=bool))
    thresholds = np.append(-np.inf, scores[last].astype(np.float64))
    return Sweep(thresholds=thresholds, known=accepted(is_known), correct=accepted(is_right), open=accepted(~is_known))


def _precision_recall_area(positive: NDArray[np.int64], negative: NDArray[np.int64], *, trapezoid: bool) -> float:
    """The area from counts that rise from 0, in order of retrieval."""
    retrieved = positive[1:] + negative[1:]
    precision = positive[1:] / retrieved
    gain = np.diff(positive) / positive[-1]
    if trapezoid:
        precision = (precision + np.append(1.0, precision[:-1])) / 2
    return float(np.dot(gain, precision))
