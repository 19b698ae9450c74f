"""The metrics of `docs/metrics.md` written out image by image, class by class and threshold by threshold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import OPEN

Array = NDArray[Any]


def closed_set(logits: Array, labels: Array, groups: Mapping[str, Array]) -> dict[str, float]:
    classes = range(logits.shape[1])
    right, predicted, actual = ([0 for _ in classes] for _ in range(3))
    top5 = 0
    for row, label in zip(logits, labels.tolist(), strict=True):
        best = np.argsort(-row, kind="stable")[:5].tolist()
        right[label] += best[0] == label
        predicted[best[0]] += 1
        actual[label] += 1
        top5 += label in best
    seen = [k for k in classes if actual[k]]
    accuracies = {k: right[k] / actual[k] for k in seen}
    f1 = {k: 2 * right[k] / (predicted[k] + actual[k]) for k in classes if predicted[k] + actual[k]}
    worst = min(accuracies.values())
    return {
        "accuracy": sum(right) / len(labels),
        **{name: _mean(accuracies[k] for k in seen if mask[k]) for name, mask in groups.items()},
        "macro_f1": _mean(f1.values()),
        "weighted_f1": sum(f1[k] * actual[k] for k in seen) / len(labels),
        "balanced_accuracy": _mean(accuracies.values()),
        "worst_class": worst,
        "harmonic_mean": 1 / _mean(1 / value for value in accuracies.values()) if worst else 0.0,
        "geometric_mean": float(np.exp(_mean(np.log(value) for value in accuracies.values()))) if worst else 0.0,
        "top5": top5 / len(labels),
    }


def calibration(logits: Array, labels: Array, bins: int = 15) -> dict[str, float]:
    brier = nll = 0.0
    held: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for row, label in zip(logits, labels.tolist(), strict=True):
        shares = np.exp(row.astype(np.float64) - float(row.max()))
        shares /= shares.sum()
        best = int(row.argmax())
        held[int(np.ceil(shares[best] * bins)) - 1].append((float(shares[best]), best == label))
        nll -= float(np.log(shares[label]))
        brier += float(np.square(shares).sum() - shares[label] ** 2 + (1 - shares[label]) ** 2)
    gaps = (abs(sum(confidence - right for confidence, right in images)) for images in held)
    return {
        "ece": sum(gaps) / len(labels),
        "brier": brier / len(labels),
        "nll": nll / len(labels),
        "confidence": _mean(confidence for images in held for confidence, _ in images),
    }


def at_threshold(predictions: Array, labels: Array, unknown: Array, groups: Mapping[str, Array]) -> dict[str, Any]:
    decided = [OPEN if away else guess for guess, away in zip(predictions.tolist(), unknown.tolist(), strict=True)]
    truth = labels.tolist()
    every = {"overall": np.ones(len(next(iter(groups.values()))), dtype=bool), **groups}
    by_group = {name: _f_measures(decided, truth, mask.tolist()) for name, mask in every.items()}
    known = [(guess, label) for guess, label in zip(decided, truth, strict=True) if label != OPEN]
    strangers = [guess for guess, label in zip(decided, truth, strict=True) if label == OPEN]
    return {
        "accuracy": _mean(guess == label for guess, label in known),
        "known_acceptance": _mean(guess != OPEN for guess, _ in known),
        "open_set_accuracy": _mean(guess == OPEN for guess in strangers),
        **{measure: {name: found[measure] for name, found in by_group.items()} for measure in by_group["overall"]},
    }


def _f_measures(decided: list[int], truth: list[int], chosen: list[bool]) -> dict[str, float]:
    """The four open-set F-measures over the chosen classes and the whole open set."""
    right = wrong = lost = open_accepted = open_rejected = 0
    hits, guesses, actual = ([0] * len(chosen) for _ in range(3))
    for guess, label in zip(decided, truth, strict=True):
        if label != OPEN and not chosen[label]:
            continue
        if guess != OPEN:
            guesses[guess] += 1
        if label == OPEN:
            open_accepted += guess != OPEN
            open_rejected += guess == OPEN
            continue
        actual[label] += 1
        hits[label] += guess == label
        right += guess == label
        lost += guess == OPEN
        wrong += guess not in (label, OPEN)
    of_classes = [
        2 * hit / (guessed + there)
        for hit, guessed, there, counts in zip(hits, guesses, actual, chosen, strict=True)
        if counts and guessed + there
    ]
    unknown = 2 * open_rejected / (2 * open_rejected + lost + open_accepted)
    return {
        "f_oltr2020": 2 * right / (2 * right + wrong + lost + open_accepted),
        "f_oltr2019": 2 * right / (2 * right + wrong + open_accepted),
        "f_micro": 2 * right / (2 * right + wrong + open_accepted + wrong + lost),
        "f1_macro_k1": _mean([*of_classes, unknown]),
    }


def ranking(known: Array, correct: Array, strangers: Array) -> dict[str, float]:
    """One pass over all images a threshold."""
    tpr, fpr, ccr = [0.0], [0.0], [0.0]
    for threshold in sorted({*known.tolist(), *strangers.tolist()}):
        accepted = known <= threshold
        tpr.append(np.count_nonzero(accepted) / len(known))
        fpr.append(np.count_nonzero(strangers <= threshold) / len(strangers))
        ccr.append(np.count_nonzero(accepted & correct) / len(known))
    share = len(known) / len(strangers)
    turned = [[1 - value for value in reversed(line)] for line in (fpr, tpr)]
    return {
        "auroc": _area(fpr, tpr),
        "oscr": _area(fpr, ccr),
        "aupr_in": _average_precision(tpr, fpr, share),
        "aupr_out": _average_precision(turned[0], turned[1], 1 / share),
        "fpr_at_95_known": next(f for f, t in zip(fpr, tpr, strict=True) if t >= 0.95),
        "frr_at_95_open": 1 - next(t for f, t in zip(reversed(fpr), reversed(tpr), strict=True) if 1 - f >= 0.95),
        "detection_accuracy": max((t + 1 - f) / 2 for f, t in zip(fpr, tpr, strict=True)),
    }


def _area(across: list[float], up: list[float]) -> float:
    return sum((across[k] - across[k - 1]) * (up[k] + up[k - 1]) / 2 for k in range(1, len(up)))


def _average_precision(recall: list[float], false: list[float], share: float) -> float:
    """``share`` is the number of positives over that of negatives."""
    area = 0.0
    for k in range(1, len(recall)):
        if recall[k] > recall[k - 1]:
            area += (recall[k] - recall[k - 1]) * recall[k] * share / (recall[k] * share + false[k])
    return area


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return float(sum(listed) / len(listed))
