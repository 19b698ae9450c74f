"""Scorers against double-precision definitions, at the edges of the number range, and in what they rank first."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax

from oltr.contracts import Outputs, UserError
from oltr.scorers import centroid_distance
from oltr.scorers.centroid_distance import CentroidDistance
from oltr.scorers.energy import Energy
from oltr.scorers.entropy import Entropy
from oltr.scorers.max_logit import MaximumLogit
from oltr.scorers.msp import MaximumSoftmax


def entropy(logits):
    shares = softmax(logits, axis=1)
    return -(shares * np.log(np.maximum(shares, 1e-300))).sum(axis=1)


DEFINITIONS = [
    (MaximumSoftmax(), lambda logits: -softmax(logits, axis=1).max(axis=1)),
    (MaximumLogit(), lambda logits: -logits.max(axis=1)),
    (Energy(), lambda logits: -logsumexp(logits, axis=1)),
    (Energy(temperature=2.5), lambda logits: -2.5 * logsumexp(logits / 2.5, axis=1)),
    (Entropy(), entropy),
]
LOGIT_SCORERS = [scorer for scorer, _ in DEFINITIONS]


def of(logits):
    return Outputs(torch.empty(len(logits), 0), logits)


@pytest.mark.parametrize(("scorer", "definition"), DEFINITIONS)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), scale=st.sampled_from([0.1, 3, 30]), classes=st.integers(1, 9))
def test_a_scorer_is_its_definition(scorer, definition, seed, scale, classes):
    logits = np.random.default_rng(seed).normal(scale=scale, size=(7, classes))
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        ours = scorer(of(torch.tensor(logits, dtype=dtype)))
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours.numpy(), definition(logits), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("scorer", [*LOGIT_SCORERS, Energy(temperature=1e-6), Energy(temperature=1e6)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_scores_stay_finite_and_are_never_in_half_precision(scorer, dtype):
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4]], dtype=dtype)
    scores = scorer(of(logits))
    assert scores.isfinite().all()
    assert scores.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("scorer", LOGIT_SCORERS)
def test_an_undecided_image_is_more_unknown_than_a_decided_one(scorer):
    decided, undecided = scorer(of(torch.tensor([[9.0, 0, 0], [1.0, 1, 1]])))
    assert undecided > decided


def test_energy_goes_from_the_maximum_logit_to_the_mean_as_it_gets_hotter():
    logits = torch.randn(20, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(Energy(temperature=1e-9)(of(logits)), MaximumLogit()(of(logits)))
    hot = Energy(temperature=1e6)(of(logits)) + 1e6 * np.log(6)
    torch.testing.assert_close(hot, -logits.mean(dim=1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_must_be_above_0(temperature):
    with pytest.raises(UserError, match="energy: the temperature must be above 0"):
        Energy(temperature=temperature)


def distance(features, centroids):
    return CentroidDistance()(Outputs(features, torch.empty(len(features), 0), centroids))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 9), st.integers(1, 40))
def test_centroid_distance_is_to_the_nearest_in_whatever_blocks(seed, count, classes, block):
    generator = np.random.default_rng(seed)
    features, centroids = generator.normal(size=(count, 5)), generator.normal(size=(classes, 5)) + 100
    centroids[-1] = features[0]  # an image that lies on a centroid
    expected = np.linalg.norm(features[:, None] - centroids, axis=2).min(axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(centroid_distance, "BLOCK", block)
        for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
            ours = distance(torch.tensor(features, dtype=dtype), torch.tensor(centroids, dtype=dtype))
            np.testing.assert_allclose(ours.numpy(), expected, rtol=tolerance, atol=tolerance)
            assert ours[0] == 0


def test_centroid_distance_is_right_far_from_the_origin():
    offset = 1e4 * torch.ones(64)
    centroids = offset + torch.arange(5.0)[:, None]
    torch.testing.assert_close(distance(centroids + 0.25, centroids), torch.full((5,), 2.0))


def test_centroid_distance_asks_for_centroids_that_fit():
    assert CentroidDistance.needs_centroids
    with pytest.raises(UserError, match="centroid_distance needs class centroids"):
        distance(torch.zeros(2, 3), None)
    with pytest.raises(UserError, match="features have 3 dimensions, centroids 4"):
        distance(torch.zeros(2, 3), torch.zeros(5, 4))


def test_centroid_distance_takes_half_precision_features_and_no_image():
    features = torch.tensor([[3.0, 4.0]], dtype=torch.float16)
    assert distance(features, torch.zeros(1, 2)).tolist() == [5.0]
    assert distance(torch.zeros(0, 2), torch.zeros(3, 2)).shape == (0,)
