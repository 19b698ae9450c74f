"""The threshold of an open validation set against every threshold that there is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oltr.contracts import OPEN, UserError
from oltr.metrics.open_set import at_threshold
from oltr.metrics.thresholds import rejected
from oltr.thresholds.open_validation import OpenValidation
from tests.thresholds.held_out import held_out


def worth(criterion, given, threshold):
    """The criterion at a threshold, by the metrics of the evaluation."""
    scores = np.concatenate([given.scores, given.open_scores])
    labels = np.append(given.labels, np.full(len(given.open_scores), OPEN))
    predictions = np.append(given.predictions, np.zeros(len(given.open_scores), dtype=np.int64))
    found = at_threshold(predictions, labels, rejected(scores, threshold), given.groups)
    if criterion == "balanced_accuracy":
        return (found["known_acceptance"] + found["open_set_accuracy"]) / 2
    return found["f_micro"]["overall"] or 0.0


@settings(deadline=None, max_examples=200)
@given(
    st.integers(0, 2**32),
    st.integers(1, 25),
    st.integers(1, 25),
    st.integers(1, 12),
    st.sampled_from(["balanced_accuracy", "f_micro"]),
    st.sampled_from([np.float32, np.float64]),
)
def test_no_threshold_is_better_and_none_as_good_accepts_more(seed, known, unknown, levels, criterion, dtype):
    generator = np.random.default_rng(seed)
    given = held_out(
        (generator.integers(0, levels, known) / 8).astype(dtype),
        generator.integers(0, 3, known),
        labels=generator.integers(0, 3, known),
        open_scores=generator.integers(0, levels, unknown) / 8 + generator.choice([0, 0.25]),
    )
    scores = np.concatenate([given.scores, given.open_scores])
    threshold = OpenValidation(criterion=criterion)(given)
    levels = [-1.0, *sorted(set(scores))]
    every = {float(level): worth(criterion, given, level) for level in levels}
    best = max(every.values())
    assert worth(criterion, given, threshold) == pytest.approx(best)
    accepted = max(np.sum(scores <= level) for level, value in every.items() if value > best - 1e-12)
    assert np.sum(~rejected(scores, threshold)) == accepted


def test_it_lies_midway_between_the_two_scores_that_it_parts():
    given = held_out([0.0, 1.0], open_scores=[2.0, 5.0])
    assert OpenValidation()(given) == 1.5
    assert OpenValidation()(held_out([0.0, 4.0], open_scores=[1.0, 2.0, 3.0])) == 0.5


def test_all_or_nothing_is_accepted_where_that_is_best():
    assert (
        OpenValidation()(held_out([3.0, 4.0], open_scores=[1.0, 2.0])) == 4
    )  # no better than nothing; it accepts more
    nothing = OpenValidation(criterion="f_micro")(held_out([3.0], [0], labels=[1], open_scores=[1.0]))
    assert nothing == 3  # nothing is ever right: every threshold is as bad
    some = held_out([5.0, 5.0, 5.0], [0, 0, 0], open_scores=[1.0] * 9 + [5.0] * 9)
    assert OpenValidation(criterion="f_micro")(some) == 5


def test_neighbouring_numbers_are_parted_in_their_own_precision():
    low = np.float32(0.1)
    given = held_out(np.array([low]), open_scores=[np.nextafter(low, np.float32(1))])
    threshold = OpenValidation()(given)
    assert not rejected(given.scores, threshold).any()
    assert rejected(given.open_scores, threshold).all()


def test_what_it_needs_is_told():
    for unknown in (None, []):
        with pytest.raises(UserError, match=r"needs an open validation set.*known_acceptance needs"):
            OpenValidation()(held_out([1.0], open_scores=unknown))
    with pytest.raises(UserError, match="needs known validation images"):
        OpenValidation()(held_out([], open_scores=[1.0]))
    with pytest.raises(UserError, match="must be balanced_accuracy or f_micro, not 'accuracy'"):
        OpenValidation(criterion="accuracy")
    assert OpenValidation().label == "open_validation_balanced_accuracy"
    assert (
        OpenValidation(criterion="f_micro").rule == "the best micro F-measure between known and open validation images"
    )
