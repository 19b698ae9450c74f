"""Which plain values may stand for which declared types, and how the types are told to a user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from oltr.contracts import Scalar
from oltr.options import declared, fits, say

SCHEDULE = {"name": "step", "value": 1}


@pytest.mark.parametrize(
    ("hint", "right", "wrong"),
    [
        (float, [1, 1.5], ["1", True, None, SCHEDULE, [1]]),
        (int, [1], [1.5, True, "1"]),
        (bool, [True], [1, "true"]),
        (str, ["a"], [1, None, SCHEDULE]),
        (int | None, [None, 3], ["3"]),
        (int | str, [3, "a"], [1.5, None]),
        (Scalar, [1, 0.5, SCHEDULE, lambda progress: 1.0], ["1", None, [1]]),
        (Literal["a", 2], ["a", 2], ["b", 1]),
        (Sequence[int], [[], [1, 2], (1,)], [1, "ab", [1.5], SCHEDULE]),
        (list, [[1, "a"]], ["a", 1]),
        (tuple[float, ...], [[1, 0.5]], [["a"], 1]),
        (tuple[float, float], [[0.9, 0.99]], [[0.9], [0.9, 0.99, 1], [0.9, "x"]]),
        (Mapping[str, Any], [{}, {"a": 1}], [[1], "a"]),
        (Any, [1, None, "a", [1], {}], []),
        (Path, [Path("a")], ["a", 1]),
    ],
)
def test_values_fit_their_types_and_no_others(hint: Any, right: Sequence[Any], wrong: Sequence[Any]) -> None:
    assert [value for value in right if not fits(value, hint)] == []
    assert [value for value in wrong if fits(value, hint)] == []


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (float | None, "a number or null"),
        (Scalar, "a number or a schedule"),
        (Literal["a", "b"], "one of 'a', 'b'"),
        (tuple[int, int], "a list of 2"),
        (Sequence[str], "a list"),
        (Mapping[str, int], "a mapping"),
    ],
)
def test_types_are_told_in_a_users_words(hint: Any, words: str) -> None:
    assert say(hint) == words


def test_annotations_that_do_not_resolve_cost_the_type_check_only() -> None:
    def part(*, size: Unknown = 1) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    made: Callable[..., Any] = part
    assert declared(made, "part") == {"size": (False, Any)}
