"""Nearest distances against brute force over every pair."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oltr.networks.distances import nearest_centroid, nearest_distance


def brute_force(features, centroids):
    return torch.stack([(features - centroid).square().sum(1).sqrt() for centroid in centroids]).min(0)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 6), st.floats(0, 1e3), st.integers(0, 2**31))
def test_equals_brute_force_far_from_the_origin_too(batch, classes, dim, offset, seed):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(batch, dim, generator=generator, dtype=torch.float64) + offset
    centroids = torch.randn(classes, dim, generator=generator, dtype=torch.float64) + offset
    expected = brute_force(features, centroids)
    torch.testing.assert_close(nearest_centroid(features, centroids), expected.indices)
    torch.testing.assert_close(nearest_distance(features, centroids), expected.values)


def test_float32_keeps_its_digits_where_features_share_a_large_mean():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(64, 32, generator=generator) + 300
    centroids = torch.randn(50, 32, generator=generator) + 300
    expected = brute_force(features.double(), centroids.double())
    torch.testing.assert_close(nearest_centroid(features, centroids), expected.indices)
    torch.testing.assert_close(nearest_distance(features, centroids).double(), expected.values, rtol=1e-5, atol=0)


def test_autocast_does_not_change_which_is_nearest():
    torch.manual_seed(0)
    features, centroids = torch.randn(64, 32) + 30, torch.randn(50, 32) + 30
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = nearest_distance(features, centroids)
    torch.testing.assert_close(result, nearest_distance(features, centroids), rtol=0, atol=0)


def test_gradients_are_those_of_the_distance_and_zero_at_a_centroid():
    torch.manual_seed(0)
    features = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    centroids = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(nearest_distance, (features, centroids))
    at_centroid = centroids.detach()[:1].clone().requires_grad_()
    nearest_distance(at_centroid, centroids.detach()).sum().backward()
    assert torch.equal(at_centroid.grad, torch.zeros_like(at_centroid))
