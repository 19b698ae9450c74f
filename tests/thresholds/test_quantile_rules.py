"""Threshold rules that promise an acceptance: of all known images, by shot group, by class; and a given one."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oltr.contracts import UserError
from oltr.metrics.thresholds import rejected
from oltr.plugins import THRESHOLDS
from oltr.thresholds.fixed import Fixed
from oltr.thresholds.known_acceptance import KnownAcceptance
from oltr.thresholds.per_class import PerClass
from oltr.thresholds.per_group import PerGroup
from tests.thresholds.held_out import held_out

RATES = [0.01, 0.07, 0.29, 0.5, 0.55, 0.9, 0.95, 1]


@st.composite
def images(draw):
    """Scores with ties, and predictions among 4 classes of which any may have none."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, 80))
    scores = (generator.integers(-5, 6, count) / draw(st.sampled_from([8, 10]))).astype(
        draw(st.sampled_from([np.float32, np.float64]))
    )
    predictions = generator.choice(4, count, p=generator.dirichlet([0.5] * 4))
    return held_out(scores, predictions, num_classes=4)


def lowest_that_keeps(scores, rate):
    """The lowest of the scores at which that share is accepted, found by trying all."""
    return next(level for level in sorted(set(scores)) if np.mean(scores <= level) >= rate)


@settings(deadline=None, max_examples=200)
@given(images(), st.sampled_from(RATES))
def test_acceptance_is_the_lowest_threshold_that_keeps_its_promise(given, rate):
    threshold = KnownAcceptance(rate=rate)(given)
    assert threshold == lowest_that_keeps(given.scores, rate)
    assert np.mean(~rejected(given.scores, threshold)) >= rate


@pytest.mark.parametrize("count", [20, 60, 100, 1000])
def test_rounding_asks_for_no_image_more(count):
    scores = np.arange(count)[::-1].astype(np.float64)
    for rate in RATES:
        accepted = np.mean(~rejected(scores, KnownAcceptance(rate=rate)(held_out(scores))))
        assert rate <= accepted < rate + 1 / count


def test_single_precision_scores_meet_their_own_threshold():
    scores = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert rejected(scores, KnownAcceptance()(held_out(scores))).sum() == 50


@settings(deadline=None, max_examples=200)
@given(images(), st.sampled_from(RATES), st.integers(1, 30))
def test_each_shot_group_keeps_the_promise_by_itself(given, rate, fewest):
    thresholds = PerGroup(rate=rate, fewest=fewest)(given)
    together = lowest_that_keeps(given.scores, rate)
    for mask in given.groups.values():
        own = given.scores[mask[given.predictions]]
        expected = lowest_that_keeps(own, rate) if len(own) >= fewest else together
        assert thresholds[mask].tolist() == [expected] * mask.sum()


@settings(deadline=None, max_examples=200)
@given(images(), st.sampled_from(RATES), st.sampled_from([0.0, 1.0, 7.5]))
def test_each_class_lies_between_its_own_and_the_common_threshold_by_its_images(given, rate, strength):
    thresholds = PerClass(rate=rate, strength=strength)(given)
    together = lowest_that_keeps(given.scores, rate)
    for index, threshold in enumerate(thresholds):
        own = given.scores[given.predictions == index]
        alone = lowest_that_keeps(own, rate) if len(own) else together
        share = len(own) / (len(own) + strength) if len(own) else 0
        assert threshold == pytest.approx(share * alone + (1 - share) * together)
        assert min(alone, together) <= threshold <= max(alone, together)
    if strength == 0:
        away = rejected(given.scores, thresholds, given.predictions)
        assert np.mean(~away) >= rate
        assert all(np.mean(~away[given.predictions == index]) >= rate for index in set(given.predictions))


def test_mixing_equal_thresholds_rejects_no_image_by_rounding():
    for images in range(1, 60):
        given = held_out(np.full(2 * images, 0.7), [0, 1] * images)
        assert not rejected(given.scores, PerClass()(given), given.predictions).any()


def test_strength_draws_every_class_to_the_common_threshold():
    given = held_out([0.0] * 10 + [1.0] * 10 + [2.0], [0] * 10 + [1] * 10 + [2])
    common = KnownAcceptance(rate=0.9)(given)
    distances = [np.abs(PerClass(rate=0.9, strength=s)(given) - common) for s in (0.0, 1.0, 10.0, 1e12)]
    assert common == 1
    assert distances[0].tolist() == [1, 0, 1]
    assert all((later <= sooner).all() for sooner, later in pairwise(distances))
    assert distances[1] == pytest.approx([10 / 11, 0, 1 / 2])
    assert distances[-1] == pytest.approx(0, abs=1e-9)


@settings(deadline=None)
@given(images(), st.lists(st.sampled_from(RATES), min_size=2, max_size=2))
def test_a_higher_rate_never_lowers_a_threshold(given, rates):
    low, high = sorted(rates)
    for part in (KnownAcceptance, PerGroup, PerClass):
        assert np.all(part(rate=low)(given) <= part(rate=high)(given)), part


@settings(deadline=None)
@given(images(), st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(given, random):
    order = np.array(random.sample(range(len(given.scores)), len(given.scores)))
    mixed = held_out(given.scores[order], given.predictions[order], num_classes=4)
    for part in (KnownAcceptance(), PerGroup(fewest=5), PerClass()):
        assert np.array_equal(part(given), part(mixed))


def test_a_single_image_sets_every_threshold_to_its_score():
    given = held_out([0.25], [1])
    assert KnownAcceptance()(given) == 0.25
    for part in (PerGroup(), PerGroup(fewest=1), PerClass(), PerClass(strength=0)):
        assert part(given).tolist() == [0.25] * 3


def test_a_fixed_confidence_is_for_its_scorer_alone():
    rule = Fixed(scorer="msp", confidence=0.1)
    assert rule(held_out([], scorer="msp")) == -0.1  # it needs no image
    assert rule(held_out([0.5], scorer="energy")) is None


def test_labels_tell_every_option_that_differs():
    parts = [KnownAcceptance(), KnownAcceptance(rate=0.9), PerGroup(), PerGroup(fewest=3), PerClass()]
    parts += [PerClass(strength=0), Fixed(scorer="msp", confidence=0.1)]
    assert [part.label for part in parts] == [
        *("known_acceptance_0.95", "known_acceptance_0.9", "per_group_0.95", "per_group_0.95_fewest_3"),
        *("per_class_0.95", "per_class_0.95_strength_0", "fixed_0.1"),
    ]
    assert parts[0].rule == "95 % of the known validation images accepted"
    assert parts[-1].rule == "rejected below a confidence of 0.1"


@pytest.mark.parametrize("name", ["known_acceptance", "per_group", "per_class", "conformal"])
def test_rules_that_need_known_images_say_so(name):
    with pytest.raises(UserError, match=f"threshold {name} needs known validation images, but there are none"):
        THRESHOLDS.build(name, {})(held_out([]))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        *((name, {"rate": 0.0}, "rate must be above 0") for name in ("known_acceptance", "per_group", "per_class")),
        ("known_acceptance", {"rate": 1.5}, "at most 1, not 1.5"),
        ("known_acceptance", {"rate": float("nan")}, "not nan"),
        ("per_group", {"fewest": 0}, "fewest is at least 1, not 0"),
        ("per_class", {"strength": -1.0}, "strength is at least 0 and finite, not -1"),
        ("per_class", {"strength": float("inf")}, "not inf"),
        ("fixed", {"scorer": "msp", "confidence": 10.0}, "confidence must be from 0 to 1, not 10"),
        ("conformal", {"alpha": 0.0}, "alpha must be above 0 and below 1, not 0"),
        ("conformal", {"alpha": 1.0}, "not 1"),
    ],
)
def test_options_that_make_no_rule_are_refused(name, options, message):
    with pytest.raises(UserError, match=f"threshold {name}: .*{message}"):
        THRESHOLDS.build(name, options)
