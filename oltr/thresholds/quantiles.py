"""Quantiles of scores as thresholds: an image that scores at the threshold is accepted."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import HeldOut, UserError

Scores = NDArray[np.floating[Any]]


def check_rate(part: str, rate: float) -> None:
    """Raises unless ``rate`` is a share of images that a threshold can be set to accept."""
    if not 0 < rate <= 1:
        raise UserError(f"threshold {part}: rate must be above 0 and at most 1, not {rate:g}")


def known_scores(part: str, held_out: HeldOut) -> Scores:
    """The scores of the known validation images, [N], N at least 1."""
    if not len(held_out.scores):
        raise UserError(f"threshold {part} needs known validation images, but there are none; fixed needs none")
    return held_out.scores


def scores_by_class(part: str, held_out: HeldOut) -> list[Scores]:
    """The scores of the known validation images predicted as each class, C arrays.

    By the predicted class, right or wrong: it is the only one that is known of an image to be judged.
    """
    scores = known_scores(part, held_out)
    order = np.argsort(held_out.predictions, kind="stable")
    sizes = np.bincount(held_out.predictions, minlength=len(held_out.train_counts))
    return np.split(scores[order], np.cumsum(sizes)[:-1])


def scores_by_group(part: str, held_out: HeldOut) -> dict[str, Scores]:
    """The same by shot group of the predicted class."""
    scores = known_scores(part, held_out)
    return {name: scores[mask[held_out.predictions]] for name, mask in held_out.groups.items()}


def spread(by_group: dict[str, float], held_out: HeldOut) -> NDArray[np.float64]:
    """The threshold of its group for each class, [C]."""
    thresholds = np.full(len(held_out.train_counts), np.nan)
    for name, mask in held_out.groups.items():
        thresholds[mask] = by_group[name]
    return thresholds


def accepting(scores: Scores, rate: float) -> float:
    """The lowest threshold at which at least ``rate`` of the scores, N at least 1, are accepted.

    It is one of them, so ties can only raise the share.
    """
    return smallest(scores, least_count(Fraction(str(rate)), len(scores)))


def smallest(scores: Scores, rank: int) -> float:
    """The score of that rank, counted from 1 for the smallest."""
    return float(np.partition(scores, rank - 1)[rank - 1])


def least_count(share: Fraction, count: int) -> int:
    """How many of ``count`` are at least that share; exact, so that 95 % of 100 is 95 and not 96."""
    return math.ceil(share * count)
