"""Ranking metrics: how well a score tells open images from known ones, over all thresholds at once.

A higher score is more unknown, and an image is accepted at a threshold when its score is not above it. Images of equal
score are accepted together, so no order among them is made up. A metric without known or without open images is None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oltr.metrics.inputs import BoolArray, FloatArray, Groups, IntArray, check_lengths, class_count, class_indices
from oltr.metrics.sweep import Sweep, sweep_scores

RANKING: Mapping[str, Callable[[Sweep], float]] = {
    "auroc": Sweep.auroc,
    "aupr_in": Sweep.aupr_in,
    "aupr_out": Sweep.aupr_out,
    "aupr_in_trapezoid": partial(Sweep.aupr_in, trapezoid=True),
    "aupr_out_trapezoid": partial(Sweep.aupr_out, trapezoid=True),
    "fpr_at_95_known": partial(Sweep.fpr_at_known, rate=0.95),
    "frr_at_95_open": partial(Sweep.frr_at_open, rate=0.95),
    "oscr": Sweep.oscr,
    "detection_accuracy": Sweep.detection_accuracy,
}
"""The metrics that ``ranking`` gives, by name."""
BY_GROUP = ("auroc", "fpr_at_95_known", "frr_at_95_open")
"""Those that ``by_group`` gives."""


class RocCurve(NamedTuple):
    """Shares of open (false positive) and known images (true positive) accepted at rising thresholds: none to all."""

    false_positive_rate: NDArray[np.float64]  # [T]
    true_positive_rate: NDArray[np.float64]  # [T]
    thresholds: NDArray[np.float64]  # [T], the first one -inf


def ranking(scores_known: FloatArray, correct: BoolArray, scores_open: FloatArray) -> dict[str, float | None]:
    """Every ranking metric by name; ``correct`` says which known images the network classifies rightly."""
    sweep = sweep_scores(scores_known, scores_open, correct)
    return {name: None if sweep is None else metric(sweep) for name, metric in RANKING.items()}


def by_group(
    scores_known: FloatArray, labels: IntArray, scores_open: FloatArray, groups: Groups
) -> dict[str, dict[str, float | None]]:
    """Each metric of BY_GROUP by shot group: the known images of the group's classes against the whole open set.

    So ``fpr_at_95_known`` has a threshold for each group, and ``frr_at_95_open`` one for all.
    """
    labels = class_indices("labels", labels, class_count(groups), allow_open=False)
    check_lengths(scores_known=scores_known, labels=labels)
    sweeps = {name: sweep_scores(np.asarray(scores_known)[mask[labels]], scores_open) for name, mask in groups.items()}
    return {
        metric: {name: None if sweep is None else RANKING[metric](sweep) for name, sweep in sweeps.items()}
        for metric in BY_GROUP
    }


def roc_curve(scores_known: FloatArray, scores_open: FloatArray) -> RocCurve | None:
    """The ROC curve with known images as positives."""
    sweep = sweep_scores(scores_known, scores_open)
    if sweep is None:
        return None
    return RocCurve(sweep.open / sweep.open[-1], sweep.known / sweep.known[-1], sweep.thresholds)


def auroc(scores_known: FloatArray, scores_open: FloatArray) -> float | None:
    """The chance that an open image scores above a known one, ties counting half."""
    sweep = sweep_scores(scores_known, scores_open)
    return None if sweep is None else sweep.auroc()


def aupr_in(scores_known: FloatArray, scores_open: FloatArray, *, trapezoid: bool = False) -> float | None:
    """Area under precision against recall with known images as positives.

    Average precision, a sum of steps; ``trapezoid`` joins the points by lines, from precision 1 at recall 0, instead.
    """
    sweep = sweep_scores(scores_known, scores_open)
    return None if sweep is None else sweep.aupr_in(trapezoid=trapezoid)


def aupr_out(scores_known: FloatArray, scores_open: FloatArray, *, trapezoid: bool = False) -> float | None:
    """Area under precision against recall with open images as positives; estimators as in ``aupr_in``."""
    sweep = sweep_scores(scores_known, scores_open)
    return None if sweep is None else sweep.aupr_out(trapezoid=trapezoid)


def fpr_at_95_known(scores_known: FloatArray, scores_open: FloatArray) -> float | None:
    """Convention K: share of open images accepted at the lowest threshold that accepts 95 % of the known ones."""
    sweep = sweep_scores(scores_known, scores_open)
    return None if sweep is None else sweep.fpr_at_known(0.95)


def frr_at_95_open(scores_known: FloatArray, scores_open: FloatArray) -> float | None:
    """Convention O: share of known images rejected at the highest threshold that rejects 95 % of the open ones."""
    sweep = sweep_scores(scores_known, scores_open)
    return None if sweep is None else sweep.frr_at_open(0.95)


def oscr(scores_known: FloatArray, correct: BoolArray, scores_open: FloatArray) -> float | None:
    """The open-set classification rate, at most the closed-set accuracy (Dhamija et al., 2018).

    The area under the share of known images accepted and rightly classified, against the share of open ones accepted.
    """
    sweep = sweep_scores(scores_known, scores_open, correct)
    return None if sweep is None else sweep.oscr()


def detection_accuracy(scores_known: FloatArray, scores_open: FloatArray) -> float | None:
    """The best mean of known images accepted and open images rejected that any threshold reaches; at least 0.5."""
    sweep = sweep_scores(scores_known, scores_open)
    return None if sweep is None else sweep.detection_accuracy()
