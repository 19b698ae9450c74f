"""Nearest-neighbour scorers against all distances at once, in double precision, in whatever blocks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from training_sets import known, long_tail, scores

from oltr.contracts import UserError
from oltr.scorers import count_aware_knn, in_blocks, neighbours
from oltr.scorers.count_aware_knn import CountAwareNeighbours
from oltr.scorers.knn import NearestNeighbours
from oltr.scorers.nnguide import NearestNeighbourGuidance


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)


def distances(points, features):
    return np.linalg.norm(unit(points)[:, None] - unit(features), axis=2)


def small_blocks(patch, rows, columns):
    patch.setattr(in_blocks, "ROWS", rows)
    patch.setattr(count_aware_knn, "ROWS", rows)
    patch.setattr(count_aware_knn, "COLUMNS", columns)
    patch.setattr(neighbours, "COLUMNS", columns)


CASES = given(
    seed=st.integers(0, 2**32),
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=6).filter(any),
    k=st.integers(1, 15),
    rows=st.integers(1, 9),
    columns=st.integers(1, 20),
)


@settings(deadline=None, max_examples=60)
@CASES
def test_knn_is_the_distance_to_the_kth_nearest(seed, counts, k, rows, columns):
    features, labels = long_tail(seed, counts, 5)
    points = np.concatenate([long_tail(seed + 1, [8], 5)[0], features[:1]])
    expected = np.sort(distances(points, features), axis=1)[:, min(k, len(features)) - 1]
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch, rows, columns)
        for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
            scorer = NearestNeighbours(k=k)
            scorer.fit(known(features, labels, classes=len(counts), dtype=dtype))
            ours = scores(scorer, points, classes=len(counts), dtype=dtype)
            np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance)


@settings(deadline=None, max_examples=60)
@CASES
def test_count_aware_knn_takes_no_more_neighbours_than_a_class_has(seed, counts, k, rows, columns):
    features, labels = long_tail(seed, counts, 5)
    points = np.concatenate([long_tail(seed + 1, [8], 5)[0], features[:1]])
    all_distances = distances(points, features)
    expected = np.min(
        [
            np.sort(all_distances[:, labels == c], axis=1)[:, min(k, count) - 1]
            for c, count in enumerate(counts)
            if count
        ],
        axis=0,
    )
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch, rows, columns)
        for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
            scorer = CountAwareNeighbours(k=k)
            scorer.fit(known(features, labels, classes=len(counts), dtype=dtype))
            ours = scores(scorer, points, classes=len(counts), dtype=dtype)
            np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance)


def test_neighbours_by_hand():
    """On the unit circle: three images of class 0 at 0, 90 and 180 degrees, one of class 1 at 270, of any length."""
    features, labels = [[2, 0], [0, 5], [-1, 0], [0, -0.1]], [0, 0, 0, 1]
    query = [[3.0, 0.0], [0.0, -4.0]]
    for scorer, expected in (
        (NearestNeighbours(k=1), [0, 0]),
        (NearestNeighbours(k=2), [2**0.5, 2**0.5]),
        (NearestNeighbours(k=50), [2, 2]),
        (CountAwareNeighbours(k=1), [0, 0]),
        (CountAwareNeighbours(k=2), [2**0.5, 0]),
        (CountAwareNeighbours(k=3), [2**0.5, 0]),
    ):
        scorer.fit(known(features, labels, classes=3, dtype=torch.float32))
        np.testing.assert_allclose(scores(scorer, query, classes=3, dtype=torch.float32), expected, atol=1e-6)


@pytest.mark.parametrize("scorer", [NearestNeighbours(k=3), CountAwareNeighbours(k=3), NearestNeighbourGuidance(k=3)])
def test_the_length_of_features_does_not_count(scorer):
    features, labels = long_tail(0, [9, 4], 5)
    points = long_tail(1, [8], 5)[0]
    logits = np.random.default_rng(0).normal(size=(len(features), 2))
    scorer.fit(known(features, labels, classes=2, logits=logits))
    ours = scores(scorer, points, logits=logits[:8])
    scorer.fit(known(features * np.arange(1, 14)[:, None], labels, classes=2, logits=logits))
    np.testing.assert_allclose(scores(scorer, 1e3 * points, logits=logits[:8]), ours, rtol=1e-9)


def test_neighbours_are_told_apart_far_from_the_origin():
    """All directions are nearly one: products of single precision could not tell which is nearer."""
    generator = np.random.default_rng(0)
    features = 100 + generator.normal(scale=0.1, size=(300, 16))
    points = 100 + generator.normal(scale=0.1, size=(20, 16))
    expected = np.sort(distances(points, features), axis=1)[:, 9]
    scorer = NearestNeighbours(k=10)
    scorer.fit(known(features, np.zeros(300), classes=1, dtype=torch.float32))
    np.testing.assert_allclose(scores(scorer, points, dtype=torch.float32), expected, rtol=0.01)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    k=st.integers(1, 30),
    share=st.sampled_from([0.001, 0.3, 0.5, 1.0]),
    rows=st.integers(1, 9),
)
def test_nnguide_is_its_definition(seed, k, share, rows):
    features, labels = long_tail(seed, [12, 7, 1], 5)
    points = long_tail(seed + 1, [8], 5)[0]
    generator = np.random.default_rng(seed)
    logits, own = generator.normal(scale=4, size=(20, 3)), generator.normal(scale=4, size=(8, 3))
    steps = np.ceil(np.arange(21) * share)
    kept = np.diff(steps) > 0
    assert kept.sum() == np.ceil(20 * share)
    guidance = np.sort(unit(points) @ unit(features[kept]).T * logsumexp(logits[kept], axis=1), axis=1)[:, -k:].mean(1)
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch, rows, 4)
        scorer = NearestNeighbourGuidance(k=k, share=share)
        scorer.fit(known(features, labels, classes=3, logits=logits, rows=rows))
        ours = scores(scorer, points, logits=own)
    np.testing.assert_allclose(ours, -guidance * logsumexp(own, axis=1), rtol=1e-9, atol=1e-9)


def test_a_share_is_evenly_spaced():
    features = np.eye(10)
    scorer = NearestNeighbourGuidance(k=1, share=0.2)
    scorer.fit(known(features, np.zeros(10), classes=1, logits=np.ones((10, 1))))
    assert (-scores(scorer, features, logits=np.ones((10, 1)))).tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("part", [NearestNeighbours, CountAwareNeighbours, NearestNeighbourGuidance])
def test_k_is_at_least_1(part):
    with pytest.raises(UserError, match="k must be at least 1, not 0"):
        part(k=0)


@pytest.mark.parametrize("share", [0.0, 1.01, float("nan")])
def test_a_share_is_above_0_and_at_most_1(share):
    with pytest.raises(UserError, match="nnguide: share must be above 0"):
        NearestNeighbourGuidance(share=share)
