"""Calibration: how well the probabilities that a network gives agree with how often it is right."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import UserError
from oltr.metrics.inputs import FloatArray, Groups, IntArray, class_count, class_indices, defined, mean, ratio

BLOCK = 1 << 17
"""How many probabilities are held at a time: as many as stay in a processor's cache."""

Reals = NDArray[np.float64]


def calibration(logits: FloatArray, labels: IntArray, groups: Groups, *, bins: int = 15) -> dict[str, Any]:
    """All calibration metrics of logits [N, C] for images of known classes, labels [N]; each ``overall`` and by group.

    A group's value is over its images, that of ``classwise_ece`` over its classes. ``ece`` has bins (low, high] of
    equal width over the largest probability (Guo et al., 2017), ``adaptive_ece`` bins of equally many images (Nixon et
    al., 2019), ``classwise_ece`` the mean over classes c of the error of p_c in bins of equal width (Kull et al.,
    2019). ``brier`` is the squared distance from the true class, 0 to 2, ``nll`` in nats and None where it is
    infinite, ``confidence`` the mean largest probability. ``reliability`` is what ``ece`` is computed from.
    """
    num_classes = class_count(groups)
    labels = class_indices("labels", labels, num_classes, allow_open=False)
    if np.shape(logits) != (len(labels), num_classes):
        raise UserError(
            f"logits must be {(len(labels), num_classes)} for these labels and groups, not {np.shape(logits)}"
        )
    if bins < 1:
        raise UserError(f"calibration needs at least 1 bin, not {bins}")
    edges = np.linspace(0, 1, bins + 1)
    found = _pass(np.asarray(logits), labels, edges)
    by_class = found.class_errors if len(labels) else np.full(num_classes, np.nan)
    images = {"overall": np.ones(len(labels), dtype=bool)} | {name: mask[labels] for name, mask in groups.items()}
    classes = {"overall": np.ones(num_classes, dtype=bool)} | dict(groups)
    confidence, right = found.confidence, found.right
    return {
        "ece": {name: _gap(confidence[own], right[own], _even(confidence[own], edges)) for name, own in images.items()},
        "adaptive_ece": {
            name: _gap(confidence[own], right[own], _equal_mass(confidence[own], bins)) for name, own in images.items()
        },
        "classwise_ece": {name: mean(by_class[own]) for name, own in classes.items()},
        "brier": {name: mean(found.brier[own]) for name, own in images.items()},
        "nll": {name: _finite(mean(found.nll[own])) for name, own in images.items()},
        "confidence": {name: mean(confidence[own]) for name, own in images.items()},
        "reliability": _reliability(confidence, right, edges),
    }


class _Pass(NamedTuple):
    """What is left of the probabilities: a few numbers an image, and one a class."""

    confidence: Reals  # [N]
    right: NDArray[np.bool_]  # [N]
    brier: Reals  # [N]
    nll: Reals  # [N]
    class_errors: Reals  # [C]


def _pass(logits: FloatArray, labels: NDArray[np.int64], edges: Reals) -> _Pass:
    """One pass over the logits in double precision, block by block."""
    count, num_classes = logits.shape
    bins = len(edges) - 1
    confidence, brier, nll = (np.empty(count) for _ in range(3))
    right = np.empty(count, dtype=bool)
    surplus = np.zeros((num_classes, bins))  # probability minus frequency, summed over the images of a bin
    rows = max(1, BLOCK // max(1, num_classes))
    for start in range(0, count, rows):
        part = slice(start, start + rows)
        own = labels[part]
        images = np.arange(len(own))
        top = logits[part].argmax(axis=1)  # of equal logits the first, as everywhere
        chances, nll[part] = _probabilities(logits[part], own, start)
        confidence[part], right[part] = chances[images, top], top == own
        true = chances[images, own]
        chances[images, own] = true - 1
        brier[part] = np.einsum("nc,nc->n", chances, chances)
        chances[images, own] = true
        np.subtract.at(surplus, (own, _even(true, edges)), 1.0)
        _add_by_bin(surplus, chances, edges)
    return _Pass(confidence, right, brier, nll, np.abs(surplus).sum(axis=1) / max(1, count))


def _probabilities(logits: FloatArray, labels: NDArray[np.int64], start: int) -> tuple[Reals, Reals]:
    """The softmax of a block, [n, C], and the negative log of the true class's, [n]."""
    with np.errstate(invalid="ignore"):
        shifted = logits - logits.max(axis=1, keepdims=True).astype(np.float64)
    if np.isnan(shifted).any():  # as infinity minus infinity is
        raise UserError(
            f"there are NaN or infinities among the logits of images {start} to {start + len(logits) - 1}, which have "
            "no probabilities"
        )
    own = shifted[np.arange(len(labels)), labels]
    np.exp(shifted, out=shifted)
    total = shifted.sum(axis=1)
    shifted /= total[:, None]
    return shifted, np.log(total) - own


def _add_by_bin(sums: Reals, chances: Reals, edges: Reals) -> None:
    """Adds each probability [n, C] to its class's and bin's entry of [C, bins].

    Almost all of many classes' probabilities lie in the first bin, where no bin has to be searched.
    """
    images, classes = np.nonzero(chances > edges[1])
    above = chances[images, classes]
    chances[images, classes] = 0
    sums[:, 0] += chances.sum(axis=0)
    np.add.at(sums, (classes, _even(above, edges)), above)


def _even(values: Reals, edges: Reals) -> NDArray[np.int64]:
    """The bin (low, high] of each value, [N]; 0 belongs to the first."""
    return np.clip(np.searchsorted(edges, values, side="left") - 1, 0, len(edges) - 2).astype(np.int64)


def _equal_mass(values: Reals, bins: int) -> NDArray[np.int64]:
    """One of ``bins`` bins of equally many images for each value, [N].

    Images of equal value stay together, in the bin of the middle one, so that the order of the images says nothing.
    """
    if not len(values):
        return np.empty(0, dtype=np.int64)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    twice_middle = 2 * np.cumsum(counts) - counts
    place: NDArray[np.int64] = (twice_middle * bins // (2 * len(values)))[inverse]
    return place


def _gap(confidence: Reals, right: NDArray[np.bool_], places: NDArray[np.int64]) -> float | None:
    """The mean over images of how far their bin's accuracy is from its mean confidence."""
    if not len(confidence):
        return None
    surplus = np.bincount(places, weights=confidence - right)
    return float(np.abs(surplus).sum() / len(confidence))


def _reliability(confidence: Reals, right: NDArray[np.bool_], edges: Reals) -> dict[str, list[float | None]]:
    """Mean confidence, accuracy and share of the images of each bin of equal width."""
    bins, places = len(edges) - 1, _even(confidence, edges)
    size = np.bincount(places, minlength=bins)
    columns = {
        "confidence": ratio(np.bincount(places, weights=confidence, minlength=bins), size),
        "accuracy": ratio(np.bincount(places, weights=right, minlength=bins), size),
        "share": ratio(size, np.full(bins, len(confidence))),
    }
    return {"edges": edges.tolist()} | {name: [defined(value) for value in column] for name, column in columns.items()}


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None
