"""Threshold rules: the share they promise, with ties, and the exact edge."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oltr.contracts import UserError
from oltr.metrics.thresholds import fixed, known_acceptance, rejected


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=60), st.sampled_from([0.01, 0.07, 0.5, 0.55, 0.9, 0.95, 1]))
def test_acceptance_is_the_lowest_threshold_that_keeps_its_promise(values, rate):
    scores = np.array(values) / 8
    threshold = known_acceptance(scores, rate=rate)
    accepted = [np.mean(~rejected(scores, level)) for level in sorted(set(scores))]
    assert np.mean(~rejected(scores, threshold)) == next(share for share in accepted if share >= rate)
    assert threshold in scores


@pytest.mark.parametrize("count", [20, 60, 100, 1000])
def test_rounding_asks_for_no_image_more(count):
    for rate in (0.55, 0.07, 0.95, 0.29):
        accepted = np.mean(~rejected(np.arange(count), known_acceptance(np.arange(count), rate=rate)))
        assert rate <= accepted < rate + 1 / count


@pytest.mark.parametrize("confidence", [0.0, 0.1, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fixed_rejects_exactly_what_torch_finds_below(confidence, dtype):
    exact = torch.tensor([confidence], dtype=dtype)
    near = torch.cat([exact, torch.nextafter(exact, exact + 1), torch.nextafter(exact, exact - 1)])
    expected = (near < confidence).numpy()
    np.testing.assert_array_equal(rejected(-near.numpy(), fixed(confidence)), expected)
    assert expected.tolist() == [False, False, True]


def test_single_precision_scores_meet_their_own_threshold():
    scores = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert rejected(scores, known_acceptance(scores, rate=0.95)).sum() == 50


def test_what_gives_no_threshold_is_refused():
    with pytest.raises(UserError, match="needs known validation images"):
        known_acceptance(np.empty(0))
    for rate in (0, 1.5, float("nan")):
        with pytest.raises(UserError, match="acceptance rate"):
            known_acceptance(np.ones(3), rate=rate)
    with pytest.raises(UserError, match=r"scores_known\[0\] is not a number"):
        known_acceptance(np.array([np.nan]))
    with pytest.raises(UserError, match="a confidence from 0 to 1, not 10"):
        fixed(10)
    with pytest.raises(UserError, match="threshold is not a number"):
        rejected(np.ones(1), float("nan"))
