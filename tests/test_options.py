"""Which plain values may stand for which declared types, and how the types are told to a user."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from oltr.contracts import Scalar
from oltr.options import OptionError, declared, fits, say
from oltr.plugins import Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


class HalfResolved:
    """A part of which one type is known to a type checker only."""

    def __init__(self, *, size: int, counts: NDArray[Any] | None = None, rate: Scalar = 1.0) -> None: ...


def half_resolved(*, size: int, counts: NDArray[Any] | None = None, rate: Scalar = 1.0) -> None: ...


@functools.wraps(half_resolved)
def wrapped(**options: Any) -> None: ...


@pytest.mark.parametrize("part", [HalfResolved, half_resolved, wrapped])
def test_an_annotation_that_does_not_resolve_costs_its_own_parameter_only(part: Callable[..., Any]) -> None:
    assert declared(part, "part") == {"size": (True, int), "counts": (False, Any), "rate": (False, Scalar)}


@pytest.mark.parametrize("annotation", ["Unknown", "Path.unknown", "not a type"])
def test_whatever_an_annotation_is_it_is_no_error(annotation: str) -> None:
    def part(*, size: int = 1, other: Any = 2) -> None: ...

    part.__annotations__["size"] = annotation
    assert declared(part, "part") == {"size": (False, Any), "other": (False, Any)}


def test_a_type_that_resolves_is_checked_beside_one_that_does_not() -> None:
    kind = Kind("oltr.samplers", find=lambda group: ())
    with pytest.raises(OptionError, match="option 'size' takes a whole number, not 'large'"):
        kind.check(f"{__name__}:HalfResolved", {"size": "large", "counts": "anything"})
