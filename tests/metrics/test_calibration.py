"""Calibration against its definitions, one image and one bin at a time, and where the answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oltr.contracts import UserError
from oltr.metrics import calibration as module
from oltr.metrics.calibration import calibration


@st.composite
def cases(draw):
    """Logits with ties, labels, and a parting of the classes; a group, and the set, may be empty."""
    num_classes = draw(st.integers(1, 7))
    count = draw(st.integers(0, 60))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = generator.integers(-3, 4, (count, num_classes)) * draw(st.sampled_from([0.3, 1.0, 5.0, 200.0]))
    group = generator.integers(0, 3, num_classes)
    groups = {name: group == index for index, name in enumerate(("many", "medium", "few"))}
    return logits.astype(np.float32), generator.integers(0, num_classes, count), groups


def softmax(logits):
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return powers / powers.sum(axis=1, keepdims=True)


def even_error(values, hits, bins):
    """The binned error of probabilities: each bin (low, high] by itself."""
    total = 0.0
    for index in range(bins):
        low, high = index / bins, (index + 1) / bins
        held = [k for k, value in enumerate(values) if low < value <= high or (index == 0 and value == 0)]
        if held:
            total += (
                len(held) / len(values) * abs(np.mean([values[k] for k in held]) - np.mean([hits[k] for k in held]))
            )
    return total


def equal_error(values, hits, bins):
    """The same with bins of equally many images, equal values together where the middle one of them belongs."""
    ordered = sorted(values)
    held = {}
    for value, hit in zip(values, hits, strict=True):
        places = [rank + 0.5 for rank, other in enumerate(ordered) if other == value]
        held.setdefault(int(np.mean(places) * bins / len(values)), []).append((value, hit))
    return sum(len(one) / len(values) * abs(np.mean(one, axis=0) @ [1, -1]) for one in held.values())


@settings(deadline=None, max_examples=150)
@given(cases(), st.sampled_from([1, 2, 15]), st.sampled_from([1, 20, 1 << 17]))
def test_every_metric_is_its_definition(case, bins, block):
    logits, labels, groups = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        ours = calibration(logits, labels, groups, bins=bins)
    chances = softmax(logits)
    truth = np.eye(len(groups["many"]))[labels]
    top, right = chances.max(axis=1, initial=0), logits.argmax(axis=1) == labels
    by_class = [even_error(p, hits, bins) for p, hits in zip(chances.T, truth.T, strict=True)]
    for name, members in {"overall": np.ones(len(groups["many"]), dtype=bool), **groups}.items():
        own = members[labels]
        expected = {
            "ece": lambda own=own: even_error(top[own], right[own], bins),
            "adaptive_ece": lambda own=own: equal_error(top[own].tolist(), right[own].tolist(), bins),
            "brier": lambda own=own: np.square(chances - truth).sum(axis=1)[own].mean(),
            "nll": lambda own=own: -np.log(chances[truth.astype(bool)][own]).mean(),
            "confidence": lambda own=own: top[own].mean(),
        }
        for metric, value in expected.items():
            if not own.any():
                assert ours[metric][name] is None, metric
            elif metric != "nll" or chances[truth.astype(bool)].all():  # else the reference's underflows
                assert ours[metric][name] == pytest.approx(value(), abs=1e-9), (metric, name)
        wanted = np.mean([by_class[c] for c in np.flatnonzero(members)]) if members.any() and len(labels) else None
        assert ours["classwise_ece"][name] == (None if wanted is None else pytest.approx(wanted, abs=1e-9))


@settings(deadline=None, max_examples=50)
@given(cases(), st.randoms(use_true_random=False))
def test_neither_the_order_of_the_images_nor_a_shift_of_the_logits_matters(case, random):
    logits, labels, groups = case
    order = random.sample(range(len(labels)), len(labels))
    shifted = logits[order].astype(np.float64) + np.arange(len(order))[:, None] * 8
    first, second = calibration(logits, labels, groups), calibration(shifted, labels[order], groups)
    for metric in set(first) - {"reliability"}:
        assert second[metric] == pytest.approx(first[metric], abs=1e-9), metric


def two_classes(confidence, right):
    """One image of class 0 or 1 for each of ``right``, predicted as class 0 with that confidence."""
    logits = np.log([[confidence, 1 - confidence]]).repeat(len(right), axis=0)
    return logits, 1 - np.asarray(right, dtype=np.int64)


GROUPS = {"many": np.array([True, False]), "few": np.array([False, True])}


@pytest.mark.parametrize(("confidence", "accuracy"), [(0.75, 0.75), (0.75, 0.5), (0.9, 0.0), (0.6, 1.0)])
def test_a_constant_confidence_is_off_by_its_distance_from_the_accuracy(confidence, accuracy):
    ours = calibration(*two_classes(confidence, np.arange(40) < 40 * accuracy), GROUPS)
    for metric in ("ece", "adaptive_ece", "classwise_ece"):
        assert ours[metric]["overall"] == pytest.approx(abs(confidence - accuracy), abs=1e-12), metric
    assert ours["confidence"]["overall"] == pytest.approx(confidence)
    expected = 2 * (accuracy * (1 - confidence) ** 2 + (1 - accuracy) * confidence**2)
    assert ours["brier"]["overall"] == pytest.approx(expected)
    assert ours["nll"]["overall"] == pytest.approx(
        -accuracy * np.log(confidence) - (1 - accuracy) * np.log(1 - confidence)
    )


def test_a_predictor_as_sure_as_it_is_right_has_no_error():
    parts = [two_classes(hits / 10, np.arange(10) < hits) for hits in (6, 7, 8, 9)]
    logits, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    ours = calibration(logits, labels, GROUPS, bins=10)
    for metric in ("ece", "adaptive_ece", "classwise_ece"):
        assert ours[metric]["overall"] == pytest.approx(0, abs=1e-12), metric
    assert ours["ece"]["few"] == pytest.approx(0.7)  # its images are all taken for the other class, 0.7 sure on average


def test_two_bins_by_hand():
    parts = [two_classes(0.55, [True, False]), two_classes(0.95, [True] * 6)]
    logits, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    ours = calibration(logits, labels, GROUPS, bins=4)
    assert ours["ece"]["overall"] == pytest.approx(2 / 8 * 0.05 + 6 / 8 * 0.05)
    assert ours["reliability"]["edges"] == [0, 0.25, 0.5, 0.75, 1]
    assert ours["reliability"]["share"] == [0, 0, 0.25, 0.75]
    assert ours["reliability"]["accuracy"] == [None, None, 0.5, 1.0]
    assert ours["reliability"]["confidence"] == [None, None, pytest.approx(0.55), pytest.approx(0.95)]
    assert calibration(logits, labels, GROUPS, bins=1)["ece"]["overall"] == pytest.approx(abs(0.85 - 7 / 8))


def test_a_probability_on_an_edge_belongs_to_the_bin_below():
    logits, labels = two_classes(0.5, [True, False])
    assert calibration(logits, labels, GROUPS, bins=2)["reliability"]["share"] == [1, 0]
    certain = calibration(np.array([[800.0, 0.0]]), np.array([0]), GROUPS, bins=2)
    assert certain["reliability"]["share"] == [0, 1]
    assert certain["classwise_ece"]["overall"] == certain["brier"]["overall"] == certain["nll"]["overall"] == 0


def test_extreme_logits_are_exact_and_an_infinite_loss_is_none():
    sure = calibration(np.array([[0.0, 30_000.0]], dtype=np.float32), np.array([0]), GROUPS)
    assert sure["nll"] == {"overall": 30_000, "many": 30_000, "few": None}
    assert sure["brier"]["overall"] == 2
    masked = calibration(np.array([[0.0, -np.inf], [0.0, 0.0]]), np.array([1, 0]), GROUPS)
    assert masked["nll"] == {"overall": None, "many": pytest.approx(np.log(2)), "few": None}
    assert masked["ece"]["overall"] == pytest.approx(0.5 * 1 + 0.5 * 0.5)


def test_what_cannot_be_rated_is_refused():
    two = np.zeros((1, 2))
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(UserError, match="NaN or infinities among the logits of images 0 to 0"):
            calibration(np.full((1, 2), bad), np.array([0]), GROUPS)
    with pytest.raises(UserError, match=r"logits must be \(2, 2\)"):
        calibration(two, np.array([0, 1]), GROUPS)
    with pytest.raises(UserError, match="leave open images out"):
        calibration(two, np.array([-1]), GROUPS)
    with pytest.raises(UserError, match="at least 1 bin, not 0"):
        calibration(two, np.array([0]), GROUPS, bins=0)
