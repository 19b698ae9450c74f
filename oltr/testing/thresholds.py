"""Checks of threshold rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from oltr.contracts import HeldOut, UserError
from oltr.plugins import THRESHOLDS
from oltr.testing.subject import Subject


def check_threshold(
    part: str | Callable[..., Any],
    *,
    options: Mapping[str, Any] | None = None,
    scorer: str = "any",
    num_classes: int = 6,
) -> None:
    """A threshold rule tells its label and what it does, and gives a finite number, one for each class, or None.

    The same each time, blind to the order of the images, and without writing to them. Where something is missing (no
    known or no open validation image, classes that nothing is predicted as, one image, equal scores) it may refuse
    instead, by a UserError of one line. ``scorer`` is the name of the one that it is asked for.
    """
    subject = Subject(THRESHOLDS, part, options)
    rule = subject.build()
    for attribute in ("label", "rule"):
        told = getattr(rule, attribute, None)
        subject.demand(isinstance(told, str) and bool(told.strip()), f"tells no {attribute}: a text for reports")
    again = subject.build()
    subject.demand(again.label == rule.label, "two of the same options have different labels")
    first = _given(subject, rule, _usual(scorer, num_classes), "usual images")
    subject.demand(first is not False, "refuses usual images, with an open validation set")
    for case, held_out in _cases(scorer, num_classes):
        given = _given(subject, rule, held_out, case)
        same = given is False if (other := _given(subject, again, held_out, case)) is False else _equal(given, other)
        subject.demand(same, f"{case}: the same images have another threshold")
        turned = _given(subject, rule, _turned(held_out), case)
        subject.demand(
            turned is False if given is False else _equal(given, turned),
            f"{case}: it depends on the order of the images",
        )


def _given(subject: Subject, rule: Any, held_out: HeldOut, case: str) -> Any:
    """What the rule gives, or False where it refuses."""
    arrays = {key: value for key, value in vars(held_out).items() if isinstance(value, np.ndarray)}
    before = {key: value.copy() for key, value in arrays.items()}
    try:
        limit = rule(held_out)
    except UserError as error:
        subject.demand("\n" not in str(error) and bool(str(error)), f"{case}: refuses by more or less than one line")
        return False
    except Exception as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise AssertionError(f"{subject.place}: {case}: {type(error).__name__}: {reason}") from error
    unchanged = all(np.array_equal(before[key], value) for key, value in arrays.items())
    subject.demand(unchanged, f"{case}: it writes to what it is given")
    if limit is not None:
        classes = len(held_out.train_counts)
        right = np.shape(limit) in ((), (classes,))
        subject.demand(right, f"{case}: gives neither a number nor one for each of {classes} classes")
        subject.demand(bool(np.isfinite(limit).all()), f"{case}: {limit} is not finite")
    return limit


def _equal(one: Any, other: Any) -> bool:
    if one is None or other is None or other is False:
        return one is other
    return np.shape(one) == np.shape(other) and bool(np.allclose(one, other, rtol=1e-5, atol=1e-6))


def _usual(scorer: str, num_classes: int) -> HeldOut:
    """Forty images a class, the last third of the classes few-shot, and an open validation set that scores higher."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(num_classes), 40)
    right = random.random(len(labels)) < 0.8
    predictions = np.where(right, labels, random.integers(0, num_classes, len(labels)))
    counts = np.geomspace(300, 5, num_classes).round().astype(np.int64)
    few, many = np.arange(num_classes) >= 2 * num_classes / 3, np.arange(num_classes) < num_classes / 3
    return HeldOut(
        scorer=scorer,
        scores=random.normal(size=len(labels)).astype(np.float32) + (~right),
        labels=labels,
        predictions=predictions,
        open_scores=random.normal(2, 1, 100).astype(np.float32),
        train_counts=counts,
        groups={"many": many, "medium": ~(many | few), "few": few},
    )


def _cases(scorer: str, num_classes: int) -> Iterator[tuple[str, HeldOut]]:
    usual = _usual(scorer, num_classes)
    yield "usual images", usual
    yield "no open validation set", replace(usual, open_scores=None)
    yield "equal scores", replace(usual, scores=np.zeros_like(usual.scores), open_scores=np.zeros(4, np.float32))
    yield "one class predicted", replace(usual, predictions=np.zeros_like(usual.predictions))
    yield "one image", _taken(usual, np.arange(1))
    yield "no image", _taken(usual, np.arange(0))
    yield "an open validation set without an image", replace(usual, open_scores=np.empty(0, np.float32))


def _taken(held_out: HeldOut, rows: Any) -> HeldOut:
    return replace(
        held_out,
        scores=held_out.scores[rows],
        labels=held_out.labels[rows],
        predictions=held_out.predictions[rows],
    )


def _turned(held_out: HeldOut) -> HeldOut:
    opened = held_out.open_scores
    backward = _taken(held_out, np.arange(len(held_out.labels))[::-1])
    return replace(backward, open_scores=None if opened is None else opened[::-1])
