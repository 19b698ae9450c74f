"""Open-set metrics against their definitions, counted image by image, and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from oltr.contracts import OPEN, UserError
from oltr.metrics.f_measures import F_MEASURES
from oltr.metrics.open_set import at_threshold, f_against_threshold, rejection_curves
from oltr.metrics.thresholds import rejected


@st.composite
def decisions(draw):
    """Predictions, labels with open images, scores with ties, and a parting of the classes; any may be empty."""
    num_classes = draw(st.integers(1, 6))
    count = draw(st.integers(0, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = generator.integers(draw(st.sampled_from([0, OPEN])), num_classes, count)
    predictions = np.where(generator.random(count) < 0.5, labels, generator.integers(0, num_classes, count))
    predictions = np.maximum(predictions, 0)
    group = generator.integers(0, 3, num_classes)
    groups = {name: group == index for index, name in enumerate(("many", "medium", "few"))}
    return predictions, labels, generator.integers(0, 6, count) / 4, groups


def f_from(true_positive, false_positive, false_negative):
    if true_positive + false_positive == 0 or true_positive + false_negative == 0:
        return None
    precision = true_positive / (true_positive + false_positive)
    recall = true_positive / (true_positive + false_negative)
    return 0.0 if true_positive == 0 else pytest.approx(2 * precision * recall / (precision + recall))


def f_by_counting(predictions, labels, unknown, classes):
    """The F-measures over the known images of ``classes`` and all open ones, one image at a time."""
    images = [image for image in zip(labels, predictions, unknown, strict=True) if image[0] in (OPEN, *classes)]
    known = [image for image in images if image[0] != OPEN]
    right = sum(not away and label == prediction for label, prediction, away in known)
    wrong = sum(not away and label != prediction for label, prediction, away in known)
    rejected = sum(away for _, _, away in known)
    open_accepted = sum(not away for label, _, away in images if label == OPEN)
    truth = [label for label, _, _ in images]
    answers = [OPEN if away else prediction for _, prediction, away in images]
    used = [index for index in (*classes, OPEN) if index in truth or index in answers]
    scores = f1_score(truth, answers, labels=used, average=None, zero_division=0) if used else []
    return {
        "f_oltr2020": f_from(right, rejected + wrong, open_accepted),
        "f_oltr2019": f_from(right, wrong, open_accepted),
        "f_micro": f_from(right, wrong + open_accepted, rejected + wrong),
        "f1_macro_k1": pytest.approx(np.mean(scores)) if used else None,
        "f1_unknown": pytest.approx(scores[-1]) if OPEN in used else None,
        "f1_macro_known": pytest.approx(np.mean([f for f, index in zip(scores, used, strict=True) if index != OPEN]))
        if set(used) - {OPEN}
        else None,
    }


@settings(deadline=None, max_examples=200)
@given(decisions())
def test_every_f_measure_counts_what_its_definition_counts(case):
    predictions, labels, scores, groups = case
    unknown = scores > 0.5
    ours = at_threshold(predictions, labels, unknown, groups)
    classes = {
        "overall": np.arange(len(groups["many"])),
        **{name: np.flatnonzero(mask) for name, mask in groups.items()},
    }
    for group, members in classes.items():
        expected = f_by_counting(predictions, labels, unknown, members.tolist())
        assert {name: ours[name][group] for name in expected} == expected


@settings(deadline=None)
@given(decisions())
def test_accuracies_after_rejection(case):
    predictions, labels, scores, groups = case
    unknown = scores > 0.5
    ours = at_threshold(predictions, labels, unknown, groups, known_weight=0.25)
    known, right = labels != OPEN, (predictions == labels) & ~unknown
    accuracy, open_accuracy = (values.mean() if len(values) else None for values in (right[known], unknown[~known]))
    assert ours["accuracy"] == accuracy
    assert ours["open_set_accuracy"] == open_accuracy
    assert ours["known_acceptance"] == (np.mean(~unknown[known]) if known.any() else None)
    assert ours["false_rejection"]["overall"] == (np.mean(unknown[known]) if known.any() else None)
    for name, mask in groups.items():
        away = [out for label, out in zip(labels, unknown, strict=True) if label != OPEN and mask[label]]
        assert ours["false_rejection"][name] == (np.mean(away) if away else None)
        own = [right[labels == index].mean() for index in np.flatnonzero(mask) if (labels == index).any()]
        assert ours[name] == (pytest.approx(np.mean(own)) if own else None)
    if accuracy is None or open_accuracy is None:
        assert ours["normalised_accuracy"] is ours["harmonic_accuracy"] is None
    else:
        assert ours["normalised_accuracy"] == pytest.approx(0.25 * accuracy + 0.75 * open_accuracy)
        total = accuracy + open_accuracy
        assert ours["harmonic_accuracy"] == pytest.approx(2 * accuracy * open_accuracy / total if total else 0)


@settings(deadline=None)
@given(decisions(), st.booleans())
def test_curves_hold_at_each_threshold_what_a_single_one_gives(case, given_grid):
    predictions, labels, scores, groups = case
    grid = np.array([2.0, -1.0, 0.25, 0.3, 0.25]) if given_grid else None
    curves = f_against_threshold(predictions, labels, scores, num_classes=len(groups["many"]), thresholds=grid)
    assert (np.diff(curves["threshold"]) >= 0).all()
    assert curves["threshold"].tolist() == sorted(set(scores) if grid is None else grid)
    for index, threshold in enumerate(curves["threshold"]):
        single = at_threshold(predictions, labels, scores > threshold, groups)
        for name in F_MEASURES:
            assert curves[name][index] == pytest.approx(
                np.nan if single[name]["overall"] is None else single[name]["overall"], nan_ok=True
            )


@settings(deadline=None)
@given(
    st.lists(st.integers(-4, 4), max_size=30),
    st.lists(st.integers(-9, 9), max_size=10),
    st.sampled_from([np.float32, np.float64]),
)
def test_rejection_curves_hold_what_each_threshold_rejects(values, grid, dtype):
    scores, thresholds = np.array(values, dtype=dtype) / 10, np.array(grid, dtype=np.float64) / 10
    curves = rejection_curves({"known": scores, "none": np.empty(0)}, thresholds)
    assert curves["none"] is None
    if not values:
        assert curves["known"] is None
    else:
        assert curves["known"].tolist() == [rejected(scores, one).mean() for one in thresholds]


def test_the_four_definitions_on_one_worked_example():
    labels = np.array([0, 0, 0, 1, 1, OPEN, OPEN, OPEN])
    predictions = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    unknown = np.array([0, 1, 0, 0, 0, 1, 1, 0], dtype=bool)
    ours = at_threshold(predictions, labels, unknown, {"many": np.array([True, False]), "few": np.array([False, True])})
    # right 2, wrong 2, rejected 1; 1 of 3 open images accepted
    assert ours["f_oltr2020"]["overall"] == pytest.approx(4 / 8)
    assert ours["f_oltr2019"]["overall"] == pytest.approx(4 / 7)
    assert ours["f_micro"]["overall"] == pytest.approx(4 / 10)
    assert ours["f1_macro_k1"]["overall"] == pytest.approx((2 / 5 + 2 / 5 + 4 / 6) / 3)
    assert ours["f_oltr2020"]["many"] == pytest.approx(2 / 5)
    assert ours["counts"] == {"known": 5, "known_accepted": 4, "known_right": 2, "open": 3, "open_accepted": 1}


def test_the_two_published_measures_part_as_soon_as_known_images_are_rejected():
    labels, predictions = np.array([0] * 10 + [OPEN] * 5), np.array([0] * 6 + [1] * 4 + [0] * 5)
    groups = {"many": np.ones(2, dtype=bool)}
    none = at_threshold(predictions, labels, np.zeros(15, dtype=bool), groups)
    assert (
        none["f_oltr2020"] == none["f_oltr2019"] == {"overall": pytest.approx(12 / 21), "many": pytest.approx(12 / 21)}
    )
    all_but_one = at_threshold(predictions, labels, np.arange(15) > 0, groups)
    assert all_but_one["f_oltr2019"]["overall"] == 1.0  # the best there is: rejecting known images costs nothing
    assert all_but_one["f_oltr2020"]["overall"] == all_but_one["f_micro"]["overall"] == pytest.approx(2 / 11)


def test_a_curve_has_at_most_the_points_asked_for():
    scores = np.arange(1000.0)
    curves = f_against_threshold(np.zeros(1000, int), np.zeros(1000, int), scores, num_classes=1, points=11)
    assert curves["threshold"].tolist() == [0, 100, 200, 300, 400, 500, 599, 699, 799, 899, 999]


def test_what_does_not_fit_is_refused():
    one, groups = np.array([0]), {"many": np.ones(1, dtype=bool)}
    with pytest.raises(UserError, match=r"predictions\[0\] is 1"):
        at_threshold(one + 1, one, np.array([False]), groups)
    with pytest.raises(UserError, match="unknown must be true or false"):
        at_threshold(one, one, np.array([0.3]), groups)
    with pytest.raises(UserError, match="known_weight"):
        at_threshold(one, one, np.array([False]), groups, known_weight=2)
    with pytest.raises(UserError, match="at least 1 point"):
        f_against_threshold(one, one, np.ones(1), num_classes=1, points=0)
    with pytest.raises(UserError, match="lengths differ: predictions 1, labels 1, scores 2"):
        f_against_threshold(one, one, np.ones(2), num_classes=1)
