"""Closed-set metrics against scikit-learn and the definitions spelt out image by image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, recall_score

from oltr.contracts import UserError
from oltr.metrics import closed
from oltr.metrics.closed import class_accuracies, closed_set, group_confusion


@st.composite
def closed_tests(draw):
    """Logits with ties, labels, and a parting of the classes; classes and groups may be empty."""
    num_classes, count = draw(st.integers(1, 8)), draw(st.integers(1, 25))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = generator.integers(0, 4, (count, num_classes)).astype(np.float32)
    group = generator.integers(0, 3, num_classes)
    groups = {name: group == index for index, name in enumerate(("many", "medium", "few"))}
    return logits, generator.integers(0, num_classes, count), groups


def averages(labels, predictions, classes):
    """The mean over some classes of the share of their images that are right, class by class; None without images."""
    own = [np.mean(predictions[labels == index] == index) for index in classes if (labels == index).any()]
    return pytest.approx(np.mean(own)) if own else None


@settings(deadline=None)
@given(closed_tests())
def test_closed_set_is_what_its_definitions_say(case):
    logits, labels, groups = case
    predictions, present = logits.argmax(axis=1), np.unique(labels)
    ours = closed_set(logits, labels, groups)
    recalls = recall_score(labels, predictions, average=None, labels=present, zero_division=0)
    assert ours["accuracy"] == pytest.approx(np.mean(predictions == labels))
    assert ours["macro_f1"] == pytest.approx(f1_score(labels, predictions, average="macro"))
    assert ours["weighted_f1"] == pytest.approx(f1_score(labels, predictions, average="weighted"))
    assert ours["balanced_accuracy"] == pytest.approx(recalls.mean())
    assert ours["worst_class"] == pytest.approx(recalls.min())
    assert ours["geometric_mean"] == pytest.approx(np.prod(recalls) ** (1 / len(recalls)))
    assert ours["harmonic_mean"] == pytest.approx(len(recalls) / sum(1 / r for r in recalls) if recalls.all() else 0)
    for name, mask in groups.items():
        assert ours[name] == averages(labels, predictions, np.flatnonzero(mask))
        assert ours["counts"]["images"][name] == np.isin(labels, np.flatnonzero(mask)).sum()
    best = [sorted(range(len(row)), key=lambda index, row=row: (-row[index], index))[:5] for row in logits]
    assert ours["top5"] == pytest.approx(np.mean([label in five for label, five in zip(labels, best, strict=True)]))


@settings(deadline=None, max_examples=20)
@given(closed_tests(), st.integers(1, 30))
def test_blocks_change_nothing(case, block):
    whole = closed_set(*case)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closed, "BLOCK", block)
        assert closed_set(*case) == whole


def test_a_class_without_test_images_has_no_accuracy_and_an_empty_group_none():
    accuracies = class_accuracies(np.array([0, 0, 2, -1]), np.array([0, -1, 2, 1]), 4)
    np.testing.assert_array_equal(accuracies, [0.5, np.nan, 1, np.nan])
    groups = {"many": np.array([True, False]), "medium": np.zeros(2, dtype=bool), "few": np.array([False, True])}
    ours = closed_set(np.eye(2)[[0, 1]], np.array([0, 0]), groups)
    assert (ours["many"], ours["medium"], ours["few"], ours["worst_class"]) == (0.5, None, None, 0.5)


def test_no_image_at_all_gives_none_everywhere():
    ours = closed_set(np.empty((0, 2)), np.empty(0, dtype=int), {"many": np.ones(2, dtype=bool)})
    assert {value for name, value in ours.items() if name != "counts"} == {None}


def test_confusion_by_group_with_rejected_and_open_images():
    groups = {
        "many": np.array([True, True, False]),
        "medium": np.zeros(3, dtype=bool),
        "few": np.array([False, False, True]),
    }
    labels, predictions = np.array([0, 0, 0, 1, 2, -1, -1]), np.array([1, 0, 2, -1, 0, -1, 2])
    nothing = dict.fromkeys(["many", "medium", "few", "open"])
    assert group_confusion(labels, predictions, groups) == {
        "many": {"many": 0.5, "medium": 0, "few": 0.25, "open": 0.25},
        "medium": nothing,
        "few": {"many": 1, "medium": 0, "few": 0, "open": 0},
        "open": {"many": 0, "medium": 0, "few": 0.5, "open": 0.5},
    }
    closed_only = group_confusion(labels[:3], predictions[:3], groups)
    assert closed_only["many"] == {"many": pytest.approx(2 / 3), "medium": 0, "few": pytest.approx(1 / 3)}
    assert list(closed_only) == ["many", "medium", "few"]


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.eye(2), [0, 2], r"labels\[1\] is 2, but classes go from 0 to 1"),
        (np.eye(2), [0, -1], "leave open images out"),
        (np.eye(2), [0.0, 1.0], "must be integers"),
        (np.eye(3), [0, 1], r"logits must be \(2, 2\)"),
        (np.array([[0.0, 1], [np.nan, 0]]), [0, 1], "NaN among the logits of images 0 to 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(logits, labels, message):
    with pytest.raises(UserError, match=message):
        closed_set(logits, np.array(labels), {"many": np.ones(2, dtype=bool)})


def test_groups_that_do_not_fit_are_refused():
    one = np.array([0])
    with pytest.raises(UserError, match="masks over the same classes"):
        closed_set(np.eye(1), one, {"many": np.ones(2, dtype=bool), "few": np.ones(1, dtype=bool)})
    with pytest.raises(UserError, match="exactly one group"):
        group_confusion(one, one, {"many": np.ones(2, dtype=bool), "few": np.ones(2, dtype=bool)})
    with pytest.raises(UserError, match="labels 1, predictions 2"):
        class_accuracies(one, np.array([0, 0]), 1)
