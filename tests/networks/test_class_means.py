"""Class means against golden numbers and a loop over classes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oltr.contracts import UserError
from oltr.networks.class_means import class_means


@pytest.mark.parametrize("case", ["centroids0", "centroids1"])
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_golden_means(case, batch_size):
    with np.load(Path(__file__).parents[1] / "golden" / "class_means.npz") as arrays:
        features, labels, known = (torch.tensor(arrays[f"{case}/{key}"]) for key in ("features", "labels", "centroids"))
    batches = zip(features.split(batch_size), labels.split(batch_size), strict=True)
    means = class_means(batches, len(known))
    assert means.dtype == torch.float32
    np.testing.assert_allclose(means, known, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.integers(1, 8), st.integers(0, 2**31))
def test_equal_a_loop_over_classes_with_zero_for_empty_ones(labels, batch_size, seed):
    features = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    labels = torch.tensor(labels)
    means = class_means(zip(features.split(batch_size), labels.split(batch_size), strict=True), 7)
    for number, mean in enumerate(means):
        own = features[labels == number]
        torch.testing.assert_close(mean, own.mean(0) if len(own) else torch.zeros(3, dtype=torch.float64))


def test_sums_keep_more_digits_than_the_features():
    ones = torch.full((1, 1), 1.0), torch.zeros(1, dtype=torch.int64)
    large = torch.full((1, 1), 2.0**26), torch.zeros(1, dtype=torch.int64)
    assert class_means([large, *[ones] * 3], 1).item() == np.float32((2.0**26 + 3) / 4)
    half = class_means([(torch.ones(2, 1, dtype=torch.bfloat16), torch.tensor([0, 0]))], 1)
    assert half.dtype == torch.float32


def test_an_empty_batch_adds_nothing():
    empty = torch.zeros(0, 1), torch.zeros(0)
    batch = torch.tensor([[4.0]]), torch.tensor([1])
    assert class_means([empty, batch, empty], 2).tolist() == [[0.0], [4.0]]


def test_batches_are_drawn_without_gradients():
    layer = torch.nn.Linear(2, 2)
    drawn = []

    def batches():
        drawn.append(layer(torch.ones(1, 2)))
        yield drawn[0], torch.tensor([0])

    assert not class_means(batches(), 1).requires_grad
    assert not drawn[0].requires_grad


def test_mistakes_are_named():
    with pytest.raises(UserError, match="not one batch"):
        class_means([], 3)
    with pytest.raises(UserError, match="labels 0 to 3, but 3 classes"):
        class_means([(torch.zeros(2, 1), torch.tensor([0, 3]))], 3)
    with pytest.raises(UserError, match="labels -1 to 2, but 3 classes"):
        class_means([(torch.zeros(2, 1), torch.tensor([-1, 2]))], 3)
