"""From stored predictions to a report as plain data: every metric of every scorer, without the network."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import OPEN, Scorer, UserError
from oltr.metrics.closed import class_f1, closed_set, group_confusion
from oltr.metrics.inputs import Groups, class_count, ratio
from oltr.metrics.open_set import at_threshold
from oltr.metrics.ranking import auroc, ranking
from oltr.metrics.shots import ShotRule
from oltr.metrics.thresholds import fixed as fixed_threshold
from oltr.metrics.thresholds import known_acceptance, rejected
from oltr.predictions import Predictions
from oltr.report.curves import curves, plain
from oltr.scoring import Scored, score_part, usable

SCHEMA = 1

NO_OPEN_SET = (
    "There are no predictions for an open set (a data set need not have one), so nothing here is about rejection."
)

NO_VALIDATION = (
    "There are no predictions of the validation set, so no threshold is set on it: what is rejected is told for fixed "
    "thresholds only, if there are any."
)


def evaluate(
    predictions: Predictions,
    *,
    scorers: Mapping[str, Scorer],
    rule: ShotRule,
    acceptance: float = 0.95,
    fixed: Mapping[str, float] | None = None,
    run: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The report of one run, plain data for JSON (docs/report.md); the first of ``scorers`` is the one in the headline.

    Images are rejected at ``acceptance`` of the known validation images and, where ``fixed`` names a scorer, also at
    that confidence. A scorer that needs features or centroids is skipped, with the reason, where the store has none.
    """
    test, val, unknown = (predictions.part(name) for name in ("test", "val", "open"))
    if test is None:
        raise UserError(f"{predictions.path}: no predictions of the test set; run --test_open to make them")
    confidences = _confidences(fixed or {}, scorers)
    groups = rule.groups(predictions.train_counts)
    runnable, skipped = usable(scorers, predictions) if unknown is not None else ({}, {})
    tested = score_part(test, runnable)
    opened: dict[str, Any] | None = None
    if unknown is not None:
        parts = (score_part(val, runnable) if val is not None else None, tested, score_part(unknown, runnable))
        opened = {
            name: skipped.get(name)
            or _open_set(name, *parts, groups=groups, acceptance=acceptance, confidence=confidences.get(name))
            for name in scorers
        }
    return {
        "schema": SCHEMA,
        "run": dict(run or {}),
        "provenance": predictions.provenance,
        "data": _data(predictions, rule, groups),
        "closed": closed_set(test.logits, test.labels, groups),
        "validation": None if val is None else closed_set(val.logits, val.labels, groups),
        "confusion": group_confusion(tested.labels, tested.predictions, groups),
        "open": opened,
        "open_note": NO_OPEN_SET if opened is None else NO_VALIDATION if val is None else None,
        "classes": _classes(predictions, tested, groups, _headline_threshold(opened)),
    }


def _confidences(fixed: Mapping[str, float], scorers: Mapping[str, Scorer]) -> Mapping[str, float]:
    for name in fixed:
        if name not in scorers:
            near = get_close_matches(name, scorers, n=1) or [*scorers, "none"]
            raise UserError(f"a fixed threshold is given for scorer {name!r}, which is not evaluated; {near[0]!r} is")
    return fixed


def _open_set(
    name: str,
    val: Scored | None,
    test: Scored,
    unknown: Scored,
    *,
    groups: Groups,
    acceptance: float,
    confidence: float | None,
) -> dict[str, Any]:
    """Everything about one scorer: ranking, operating points, each shot group against the open set, curves."""
    labels = np.concatenate([test.labels, unknown.labels])
    predictions = np.concatenate([test.predictions, unknown.predictions])
    known, open_ = test.scores[name], unknown.scores[name]
    scores = np.concatenate([known, open_])
    points: dict[str, Any] = {}
    if val is not None and len(val.labels):
        points[f"known_acceptance_{acceptance:g}"] = {
            "rule": f"{acceptance * 100:.4g} % of the known validation images accepted",
            "threshold": known_acceptance(val.scores[name], rate=acceptance),
        }
    if confidence is not None:
        points[f"fixed_{confidence:g}"] = {
            "rule": f"rejected below a confidence of {confidence:g}",
            "threshold": fixed_threshold(confidence),
        }
    for point in points.values():
        away = rejected(scores, point["threshold"])
        point.update(at_threshold(predictions, labels, away, groups))
        point["confusion"] = group_confusion(labels, np.where(away, OPEN, predictions), groups)
    images = {group: np.append(mask, False)[labels] for group, mask in groups.items()}
    common = labels != OPEN
    kinds = {"known": common, "common": common & ~images["few"], "few": images["few"], "open": ~common}
    return {
        "ranking": ranking(known, test.predictions == test.labels, open_),
        "tail": {group: auroc(scores[mask], open_) for group, mask in images.items()},
        "operating_points": points,
        "curves": curves(predictions, labels, scores, num_classes=class_count(groups), kinds=kinds),
    }


def _data(predictions: Predictions, rule: ShotRule, groups: Groups) -> dict[str, Any]:
    sizes = {name: None if (part := predictions.part(name)) is None else len(part) for name in ("val", "test", "open")}
    return {
        "images": {"train": int(predictions.train_counts.sum()), **sizes},
        "classes": predictions.num_classes,
        "largest_class": int(predictions.train_counts.max()),
        "smallest_class": int(predictions.train_counts.min()),
        "shots": {"rule": rule.describe(), "classes": {name: int(mask.sum()) for name, mask in groups.items()}},
        "centroids": predictions.centroids_source,
    }


def _headline_threshold(opened: Mapping[str, Any] | None) -> tuple[str, float] | None:
    """The first scorer that has an operating point, and the threshold of its first one."""
    for name, entry in (opened or {}).items():
        for point in entry.get("operating_points", {}).values():
            return name, point["threshold"]
    return None


def _classes(
    predictions: Predictions, test: Scored, groups: Groups, headline: tuple[str, float] | None
) -> list[dict[str, Any]]:
    """One row a class; the share accepted is that at the headline's threshold, None without one."""
    count = predictions.num_classes

    def per_class(classes: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(classes, minlength=count)

    right, predicted, actual = (
        per_class(classes) for classes in (test.labels[test.labels == test.predictions], test.predictions, test.labels)
    )
    accepted = np.full(count, np.nan)
    if headline is not None:
        name, threshold = headline
        accepted = ratio(per_class(test.labels[~rejected(test.scores[name], threshold)]), actual)
    shots = {int(index): group for group, mask in groups.items() for index in np.flatnonzero(mask)}
    columns = {
        "name": predictions.class_names,
        "train_images": predictions.train_counts.tolist(),
        "shot": [shots[index] for index in range(count)],
        "test_images": actual.tolist(),
        "accuracy": plain(ratio(right, actual)),
        "precision": plain(ratio(right, predicted)),
        "f1": plain(class_f1(right, predicted, actual)),
        "accepted": plain(accepted),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
