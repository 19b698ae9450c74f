"""From stored predictions to a report as plain data: every metric of every scorer, without the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import Scorer, Threshold, UserError
from oltr.curves import plain
from oltr.metrics.calibration import calibration
from oltr.metrics.closed import class_f1, closed_set, group_confusion
from oltr.metrics.inputs import Groups, ratio
from oltr.metrics.shots import ShotRule
from oltr.metrics.thresholds import rejected
from oltr.predictions import PARTS, Predictions
from oltr.rejection import Rejection
from oltr.scoring import Scored, score
from oltr.selection import selected_on_test

SCHEMA = 2

SCORED = ("test", "open", "val", "open_val", "far")

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
    thresholds: Sequence[Threshold] = (),
    run: Mapping[str, Any] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The report of one run, plain data for JSON (docs/report.md); the first of ``scorers`` is the one in the headline.

    Images are rejected by each of ``thresholds``. A scorer that cannot be used with this store is skipped, with the
    reason; ``options`` are those of scorers that ran with the network, by name. ``run`` is what the run says of itself;
    where it says ``test_selected``, or validation images are test images, the report does.
    """
    test, val, unknown = (predictions.part(name) for name in ("test", "val", "open"))
    if test is None:
        raise UserError(f"{predictions.path}: no predictions of the test set; run --test_open to make them")
    groups = rule.groups(predictions.train_counts)
    scoring = score(
        predictions,
        scorers if unknown is not None else {},
        SCORED if unknown is not None else ("test",),
        options,
    )
    opened: dict[str, Any] | None = None
    unset: dict[str, str] = {}
    if unknown is not None:
        rejection = Rejection(
            parts=scoring.parts, groups=groups, train_counts=predictions.train_counts, thresholds=thresholds
        )
        opened = {
            name: {"skipped": scoring.skipped[name]} if name in scoring.skipped else rejection.entry(name, unset)
            for name in scorers
        }
    tested, logits = scoring.parts["test"], test.logits
    return {
        "schema": SCHEMA,
        "run": {**(run or {}), **selected_on_test(predictions, run or {})},
        "provenance": predictions.provenance,
        "data": _data(predictions, rule, groups),
        "closed": closed_set(logits, test.labels, groups),
        "calibration": calibration(logits, test.labels, groups),
        "validation": None if val is None else closed_set(val.logits, val.labels, groups),
        "confusion": group_confusion(tested.labels, tested.predictions, groups),
        "open": opened,
        "open_note": NO_OPEN_SET if opened is None else NO_VALIDATION if val is None else None,
        "thresholds_skipped": unset,
        "classes": _classes(predictions, tested, groups, _headline(opened)),
    }


def _data(predictions: Predictions, rule: ShotRule, groups: Groups) -> dict[str, Any]:
    parts = {name: predictions.part(name) for name in PARTS if name != "fit"}
    sizes = {name: None if part is None else len(part) for name, part in parts.items()}
    return {
        "images": {"train": int(predictions.train_counts.sum()), **sizes},
        "classes": predictions.num_classes,
        "largest_class": int(predictions.train_counts.max()),
        "smallest_class": int(predictions.train_counts.min()),
        "shots": {"rule": rule.describe(), "classes": {name: int(mask.sum()) for name, mask in groups.items()}},
        "centroids": predictions.centroids_source,
    }


def _headline(opened: Mapping[str, Any] | None) -> tuple[str, float | NDArray[np.float64]] | None:
    """The first scorer that has an operating point, and the threshold of its first one."""
    for name, entry in (opened or {}).items():
        for point in entry.get("operating_points", {}).values():
            return name, np.array(point["class_thresholds"]) if point["threshold"] is None else point["threshold"]
    return None


def _classes(
    predictions: Predictions, test: Scored, groups: Groups, headline: tuple[str, float | NDArray[np.float64]] | None
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
        away = rejected(test.scores[name], threshold, test.predictions)
        accepted = ratio(per_class(test.labels[~away]), actual)
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
