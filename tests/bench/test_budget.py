"""Which rows are told to be not comparable."""

from __future__ import annotations

from typing import Any

import pytest

from oltr.bench.budget import warnings

BUDGET = {
    "images_seen": 1000,
    "parameters": 500,
    "pretraining": None,
    "data": "a1",
    "test_images": 10,
    "open_images": 5,
    "far_images": None,
}


def row(method: str, seed: int = 0, **changes: Any) -> dict[str, Any]:
    return {"method": method, "seed": seed, "scorer": "msp", **BUDGET, **changes}


def test_equal_rows_are_comparable() -> None:
    assert warnings([row("a"), row("b"), row("b", seed=1)]) == []
    assert warnings([]) == []


@pytest.mark.parametrize(("seen", "told"), [(1050, False), (1051, True), (950, False), (949, True)])
def test_five_percent_is_the_limit(seen: int, told: bool) -> None:
    assert bool(warnings([row("a"), row("b", images_seen=seen)])) == told


def test_rows_that_differ_alike_are_told_together() -> None:
    rows = [row("a, b"), row("c", images_seen=1500), row("d", images_seen=1500), row("e", images_seen=3000)]
    assert warnings(rows) == [
        "not comparable: 'c' and 'd' have seen 1.5 times the images of 'a, b'",
        "not comparable: 'e' has seen 3 times the images of 'a, b'",
    ]


def test_the_reference_is_the_baseline_where_it_has_a_result() -> None:
    rows = [row("a", parameters=1000), row("b")]
    assert warnings(rows, "b") == ["not comparable: 'a' has 2 times the parameters of 'b'"]
    assert warnings(rows, "gone") == ["not comparable: 'b' has 0.5 times the parameters of 'a'"]


def test_an_amount_is_the_mean_over_seeds() -> None:
    assert warnings([row("a"), row("b", images_seen=900), row("b", seed=1, images_seen=1100)]) == []
    assert warnings([row("a"), row("b", images_seen=1000), row("b", seed=1, images_seen=1200)]) != []


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("pretraining", "net.pth", "'b' has other pretraining than 'a'"),
        ("data", "b2", "'b' has been run on other data than 'a'"),
        ("test_images", 11, "'b' has other test images than 'a'"),
        ("open_images", None, "'b' has other open images than 'a'"),
        ("far_images", 7, "'b' has other far open images than 'a'"),
    ],
)
def test_what_has_to_be_the_same_is(key: str, value: Any, said: str) -> None:
    assert warnings([row("a"), row("b", **{key: value})]) == [f"not comparable: {said}"]
    some = [row("a"), row("b"), row("b", seed=1, **{key: value})]
    assert warnings(some) == [f"not comparable: {said}"]  # one seed is enough


def test_what_is_not_known_is_said() -> None:
    rows = [row("a"), row("b", images_seen=None), row("c")]
    assert warnings(rows) == ["not known to be comparable: the images seen of 'b'"]
    assert warnings([row("a", images_seen=None), row("b", images_seen=None)]) == []
