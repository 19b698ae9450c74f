"""Every rule of ours keeps what the kit asks for, and the kit notices one that does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from oltr.contracts import HeldOut, UserError
from oltr.plugins import THRESHOLDS
from oltr.testing import check_threshold

OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "fixed": ({"scorer": "msp", "confidence": 0.1}, {"scorer": "energy", "confidence": 0.1}),
    "open_validation": ({}, {"criterion": "f_micro"}),
    "conformal": ({}, {"by": "class"}, {"by": "group", "alpha": 0.3}),
    "per_class": ({}, {"strength": 0}),
}
OURS = [plugin.name for plugin in THRESHOLDS.plugins if plugin.distribution == "oltr"]


@pytest.mark.parametrize(("name", "options"), [(name, given) for name in OURS for given in OPTIONS.get(name, ({},))])
def test_ours_conform(name: str, options: dict[str, Any]) -> None:
    check_threshold(name, options=options, scorer="msp")


class Rule:
    label, rule = "median", "half of the known validation images accepted"

    def __call__(self, held_out: HeldOut) -> Any:
        if not len(held_out.scores):
            raise UserError("there are no images")
        return float(np.median(held_out.scores))


class Nameless(Rule):
    label = ""


class Infinite(Rule):
    def __call__(self, held_out: HeldOut) -> Any:
        return super().__call__(held_out) if len(held_out.scores) > 1 else np.inf


class Writing(Rule):
    def __call__(self, held_out: HeldOut) -> Any:
        held_out.scores.sort()
        return super().__call__(held_out)


class First(Rule):
    def __call__(self, held_out: HeldOut) -> Any:
        super().__call__(held_out)
        return float(held_out.scores[0])


class Counting(Rule):
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, held_out: HeldOut) -> Any:
        self.calls += 1
        return self.calls + super().__call__(held_out)


class OneShort(Rule):
    def __call__(self, held_out: HeldOut) -> Any:
        return np.zeros(len(held_out.train_counts) - 1)


class Crashing(Rule):
    def __call__(self, held_out: HeldOut) -> Any:
        return float(held_out.open_scores.mean())  # type: ignore[union-attr]


class Refusing(Rule):
    def __call__(self, held_out: HeldOut) -> Any:
        raise UserError("never")


def test_a_sound_rule_of_others_passes() -> None:
    check_threshold(Rule)


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        (Nameless, "tells no label"),
        (Infinite, "one image: inf is not finite"),
        (Writing, "usual images: it writes to what it is given"),
        (First, "usual images: it depends on the order of the images"),
        (Counting, "the same images have another threshold"),
        (OneShort, "gives neither a number nor one for each of 6 classes"),
        (Crashing, "no open validation set: AttributeError"),
        (Refusing, "refuses usual images"),
    ],
)
def test_a_rule_that_breaks_a_promise_is_named(rule: Callable[..., Any], fault: str) -> None:
    with pytest.raises(AssertionError, match=fault) as caught:
        check_threshold(rule)
    assert rule.__name__ in str(caught.value)
    assert "\n" not in str(caught.value)
