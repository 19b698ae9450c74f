"""ODIN on networks whose gradient is known by hand."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from oltr.contracts import Outputs, UserError
from oltr.scorers.odin import Odin

WEIGHT = np.random.default_rng(0).normal(size=(4, 12))


def linear(images):
    features = images.flatten(1)
    return Outputs(features, features @ torch.tensor(WEIGHT, dtype=images.dtype).T)


def by_definition(images, temperature, epsilon, std):
    """For logits W x the gradient of log p of the class k is (W_k - sum p W) / T."""
    found = []
    for image in images:
        x = image.reshape(-1)
        p = softmax(WEIGHT @ x / temperature)
        gradient = (WEIGHT[p.argmax()] - p @ WEIGHT) / temperature
        moved = x + epsilon * np.sign(gradient) / np.repeat(std, 4)
        found.append(-softmax(WEIGHT @ moved / temperature).max())
    return np.array(found)


@pytest.mark.parametrize("temperature", [1.0, 1000.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.0014, 0.3])
@pytest.mark.parametrize("std", [(1.0, 1.0, 1.0), (0.2, 0.5, 3)])
def test_odin_is_its_definition(temperature, epsilon, std):
    images = np.random.default_rng(1).normal(size=(6, 3, 2, 2))
    scorer = Odin(temperature=temperature, epsilon=epsilon, std=std)
    ours = scorer.score(linear, torch.tensor(images))
    np.testing.assert_allclose(ours.numpy(), by_definition(images, temperature, epsilon, std), rtol=1e-12)


def test_a_step_makes_every_image_more_certain():
    images = torch.randn(20, 3, 2, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    still, moved = (Odin(temperature=1, epsilon=epsilon).score(linear, images) for epsilon in (0.0, 0.01))
    assert (moved < still).all()


@pytest.mark.parametrize("frozen", [False, True])
def test_the_network_stays_as_it_was_where_no_gradients_are_wanted(frozen):
    network = nn.Sequential(nn.Conv2d(3, 5, 2), nn.Flatten(), nn.BatchNorm1d(5), nn.Linear(5, 4)).eval()
    network.requires_grad_(not frozen)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.randn(3, 3, 2, 2, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        scores = Odin().score(lambda batch: Outputs(batch.flatten(1), network(batch)), images)
    assert not scores.requires_grad
    assert not images.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_it_says_that_it_runs_the_network():
    assert Odin.needs_network
    assert not callable(Odin())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "odin: the temperature must be above 0 and finite, not 0"),
        ({"epsilon": -0.1}, "odin: epsilon must be at least 0 and finite, not -0.1"),
        ({"std": [0.2, 0.0, 0.2]}, r"odin: std is a list of numbers above 0, one for each channel, not \[0.2, 0.0"),
        ({"std": []}, "odin: std is a list of numbers above 0"),
    ],
)
def test_options_that_cannot_be_are_named(options, message):
    with pytest.raises(UserError, match=message):
        Odin(**options)


def test_there_is_a_deviation_for_each_channel():
    with pytest.raises(UserError, match="odin: the images have 3 channels, std 1"):
        Odin(std=[0.5]).score(linear, torch.zeros(1, 3, 2, 2))
