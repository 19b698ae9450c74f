"""Shot groups: every class in exactly one, by the rule that was named."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oltr.contracts import UserError
from oltr.metrics.shots import shot_rule

COUNTS = np.array([300, 101, 100, 99, 50, 21, 20, 19, 0])


def members(rule, counts=COUNTS):
    return {name: np.flatnonzero(mask).tolist() for name, mask in rule.groups(counts).items()}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (shot_rule(), {"many": [0, 1, 2], "medium": [3, 4, 5], "few": [6, 7, 8]}),
        (shot_rule("strict"), {"many": [0, 1], "medium": [2, 3, 4, 5, 6], "few": [7, 8]}),
        (shot_rule(many=99, few=50), {"many": [0, 1, 2, 3], "medium": [], "few": [4, 5, 6, 7, 8]}),
        (shot_rule("strict", many=50, few=50), {"many": [0, 1, 2, 3], "medium": [4], "few": [5, 6, 7, 8]}),
        (shot_rule("lists", many=[8], few=[0, 1]), {"many": [8], "medium": [2, 3, 4, 5, 6, 7], "few": [0, 1]}),
        (shot_rule("lists", many=[], few=[]), {"many": [], "medium": [0, 1, 2, 3, 4, 5, 6, 7, 8], "few": []}),
    ],
)
def test_groups_at_the_thresholds(rule, expected):
    assert members(rule) == expected


def test_thirds_part_ties_by_class_index_and_give_the_rest_to_many_first():
    assert members(shot_rule("thirds"), np.array([5, 9, 5, 5, 1])) == {"many": [0, 1], "medium": [2, 3], "few": [4]}
    assert members(shot_rule("thirds"), np.array([5, 5, 5, 5])) == {"many": [0, 1], "medium": [2], "few": [3]}


@settings(deadline=None)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=30), st.sampled_from(["oltr", "strict", "thirds"]))
def test_groups_part_the_classes_in_order_of_their_counts(counts, rule):
    counts = np.array(counts)
    groups = shot_rule(rule).groups(counts)
    assert (np.sum(list(groups.values()), axis=0) == 1).all()
    for upper, lower in (("many", "medium"), ("medium", "few"), ("many", "few")):
        if groups[upper].any() and groups[lower].any():
            assert counts[groups[upper]].min() >= counts[groups[lower]].max()


@pytest.mark.parametrize(
    ("rule", "options", "message"),
    [
        ("olt", {}, "did you mean oltr"),
        ("x", {}, "there are oltr, strict"),
        ("oltr", {"many": 20}, r"many \(20\) must be above few \(20\)"),
        ("strict", {"many": 10}, r"many \(10\) must be above few \(20\)"),
        ("oltr", {"many": [1]}, "must be a number of images"),
        ("oltr", {"few": True}, "must be a number of images"),
        ("thirds", {"few": 3}, "takes no thresholds"),
        ("lists", {"many": [1]}, "few must be a list"),
        ("lists", {"many": [1], "few": [2, 1]}, "class 1 stands in both"),
        ("lists", {"many": [1], "few": [-2]}, "must hold class indices"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule, options, message):
    with pytest.raises(UserError, match=message):
        shot_rule(rule, **options)


def test_a_listed_class_that_does_not_exist_is_named():
    with pytest.raises(UserError, match="few names class 9, but there are 9 classes"):
        shot_rule("lists", many=[0], few=[9]).groups(COUNTS)


def test_counts_that_are_none_are_refused():
    with pytest.raises(UserError, match="train_counts"):
        shot_rule().groups(np.array([1.5, 2.0]))


def test_a_rule_describes_itself_and_stays_as_it_is():
    assert shot_rule(many=60).describe() == "oltr: many >= 60, few <= 20 training images"
    assert shot_rule("strict").describe() == "strict: many > 100, few < 20 training images"
    assert "2 classes listed as many, 1 as few" in shot_rule("lists", many=[1, 2], few=[3]).describe()
    assert "three equal parts" in shot_rule("thirds").describe()
    with pytest.raises(dataclasses.FrozenInstanceError):
        shot_rule().many = 3
