"""Closed-set metrics: how well images of known classes are classified, overall and by shot group."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import OPEN, UserError
from oltr.metrics.inputs import FloatArray, Groups, IntArray, check_lengths, class_count, class_indices, mean, ratio

BLOCK = 1 << 20
"""How many logits are compared at a time: bounds the memory that a large test set takes."""


def closed_set(logits: FloatArray, labels: IntArray, groups: Groups) -> dict[str, Any]:
    """All closed-set metrics of logits [N, C] for images of known classes, labels [N]; None where one is not defined.

    ``accuracy`` is over images; that of a shot group is the unweighted mean over its classes. Means over classes leave
    out those without a test image, F1 only those neither present nor predicted. Of equal logits the one of the lowest
    class index counts as the larger, for the prediction and in ``top5``, which is over min(5, C) classes.
    """
    num_classes = class_count(groups)
    labels = class_indices("labels", labels, num_classes, allow_open=False)
    if np.shape(logits) != (len(labels), num_classes):
        raise UserError(
            f"logits must be {(len(labels), num_classes)} for these labels and groups, not {np.shape(logits)}"
        )
    predictions, ranks = _predict(np.asarray(logits), labels)
    accuracies = class_accuracies(labels, predictions, num_classes)
    f1 = class_f1(*_class_counts(labels, predictions, num_classes))
    support = np.bincount(labels, minlength=num_classes)
    return {
        "accuracy": mean(predictions == labels),
        **group_means(accuracies, groups),
        "macro_f1": mean(f1),
        "weighted_f1": float(np.nansum(f1 * support) / support.sum()) if len(labels) else None,
        "balanced_accuracy": mean(accuracies),
        **_spread(accuracies[support > 0]),
        "top5": mean(ranks < 5),
        "counts": _counts(support, groups),
    }


def class_accuracies(labels: IntArray, predictions: IntArray, num_classes: int) -> NDArray[np.float64]:
    """The share of each class's images that are predicted as it, [C]; NaN for a class without images.

    Images labelled OPEN belong to no class; a prediction of OPEN, a rejected image, is an error.
    """
    labels = class_indices("labels", labels, num_classes, allow_open=True)
    predictions = class_indices("predictions", predictions, num_classes, allow_open=True)
    check_lengths(labels=labels, predictions=predictions)
    right, _, actual = _class_counts(labels, predictions, num_classes)
    return ratio(right, actual)


def class_f1(right: IntArray, predicted: IntArray, actual: IntArray) -> NDArray[np.float64]:
    """F1 from the counts of each class: rightly predicted, predicted, present; NaN where none of them occurs.

    The counts may have any shape, the same for all or one that broadcasts.
    """
    return ratio(2 * right, predicted + actual)


def group_means(values: NDArray[np.float64], groups: Groups) -> dict[str, float | None]:
    """The unweighted mean of one value for each class, [C], in each group; NaN entries are left out."""
    return {name: mean(values[mask]) for name, mask in groups.items()}


def group_confusion(labels: IntArray, predictions: IntArray, groups: Groups) -> dict[str, dict[str, float | None]]:
    """How the images of each group are spread over the groups of their predicted classes: shares of a row, by column.

    The diagonal says that the group is right, not the class. Labels of OPEN make a row ``open``, predictions of OPEN a
    column. A row without images holds None.
    """
    num_classes = class_count(groups)
    labels = class_indices("labels", labels, num_classes, allow_open=True)
    predictions = class_indices("predictions", predictions, num_classes, allow_open=True)
    check_lengths(labels=labels, predictions=predictions)
    masks = np.stack([np.asarray(mask) for mask in groups.values()])
    if not np.array_equal(masks.sum(axis=0), np.ones(num_classes)):
        raise UserError("a confusion by group needs each class in exactly one group")
    names = [*groups, "open"]
    group = np.append(masks.argmax(axis=0), len(groups))  # OPEN, -1, finds the last entry
    pairs = group[labels] * len(names) + group[predictions]
    table = np.bincount(pairs, minlength=len(names) ** 2).reshape(len(names), len(names))
    rows = names if (labels == OPEN).any() else names[:-1]
    columns = names if (predictions == OPEN).any() else names[:-1]
    return {
        row: {
            column: float(share / line.sum()) if line.any() else None
            for column, share in zip(columns, line, strict=False)
        }
        for row, line in zip(rows, table, strict=False)
    }


def _predict(logits: FloatArray, labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The class with the largest logit, [N], and how many classes stand before the true one, [N]."""
    num_classes = logits.shape[1]
    predictions, ranks = np.empty_like(labels), np.empty_like(labels)
    rows = max(1, BLOCK // num_classes)
    classes = np.arange(num_classes)
    for start in range(0, len(labels), rows):
        part = slice(start, start + rows)
        block, own = logits[part], labels[part, None]
        predictions[part] = block.argmax(axis=1)
        if np.isnan(np.take_along_axis(block, predictions[part, None], axis=1)).any():  # argmax finds a NaN first
            raise UserError(f"there are NaN among the logits of images {start} to {start + len(block) - 1}")
        value = np.take_along_axis(block, own, axis=1)
        ranks[part] = np.count_nonzero((block > value) | ((block == value) & (classes < own)), axis=1)
    return predictions, ranks


def _class_counts(labels: IntArray, predictions: IntArray, num_classes: int) -> tuple[IntArray, IntArray, IntArray]:
    """Images of each class rightly predicted, predicted, and present, [C] each; OPEN is no class."""
    known = labels[labels != OPEN]
    right = labels[(labels == predictions) & (labels != OPEN)]
    predicted = predictions[predictions != OPEN]
    return (
        np.bincount(right, minlength=num_classes),
        np.bincount(predicted, minlength=num_classes),
        np.bincount(known, minlength=num_classes),
    )


def _spread(accuracies: NDArray[np.float64]) -> dict[str, float | None]:
    """The worst of the class accuracies, and the means that a bad one pulls down: 0 as soon as one of them is 0."""
    names = ("worst_class", "harmonic_mean", "geometric_mean")
    if not accuracies.size:
        return dict.fromkeys(names)
    if accuracies.min() == 0:
        return dict.fromkeys(names, 0.0)
    harmonic, geometric = 1 / np.mean(1 / accuracies), np.exp(np.log(accuracies).mean())
    return dict(zip(names, (float(accuracies.min()), float(harmonic), float(geometric)), strict=True))


def _counts(support: IntArray, groups: Groups) -> dict[str, dict[str, int]]:
    """Images and classes, overall and in each group."""
    masks = {"overall": np.ones(len(support), dtype=bool), **groups}
    return {
        "images": {name: int(support[mask].sum()) for name, mask in masks.items()},
        "classes": {name: int(np.count_nonzero(mask)) for name, mask in masks.items()},
    }
