"""Scorers that change what reaches the last layer, and the one that measures its gradient."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from oltr.contracts import Head, Known, Outputs, UserError
from oltr.scorers import in_blocks
from oltr.scorers.ash import ActivationShaping
from oltr.scorers.dice import Dice
from oltr.scorers.energy import Energy
from oltr.scorers.gradnorm import GradientNorm
from oltr.scorers.react import ReAct
from oltr.scorers.scale import Scale

PARTS = [ActivationShaping, Scale, ReAct, Dice]


class Layer:
    """A last layer and features for it, in double precision."""

    def __init__(self, seed, *, images=40, classes=4, dimensions=10, signed=False):
        generator = np.random.default_rng(seed)
        self.weight, self.bias = generator.normal(size=(classes, dimensions)), generator.normal(size=classes)
        features = generator.normal(size=(images, dimensions)) + 0.5
        self.features = features if signed else np.maximum(features, 0)
        self.labels = generator.integers(classes, size=images)

    def outputs(self, features=None):
        features = self.features if features is None else features
        return Outputs(torch.tensor(features), torch.tensor(features @ self.weight.T + self.bias))

    def known(self, rows=7, head=True):
        def blocks():
            for start in range(0, len(self.features), rows):
                features = self.features[start : start + rows]
                yield self.outputs(features), torch.tensor(self.labels[start : start + rows])

        given = Head(torch.tensor(self.weight), torch.tensor(self.bias)) if head else None
        return Known(train=blocks, val=blocks, head=given)

    def energy(self, features, weight=None):
        return -logsumexp(features @ (self.weight if weight is None else weight).T + self.bias, axis=1)


def scored(scorer, layer, features=None):
    scorer.fit(layer.known())
    return scorer(layer.outputs(features)).numpy()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 12), st.sampled_from([0, 35, 65, 90, 99]), st.booleans())
def test_shaping_and_scaling_are_their_definitions(seed, dimensions, percentile, signed):
    layer = Layer(seed, dimensions=dimensions, signed=signed)
    kept = max(1, dimensions - round(dimensions * percentile / 100))
    shaped = {variant: np.zeros_like(layer.features) for variant in "spb"}
    scaled = np.zeros_like(layer.features)
    for row, z in enumerate(layer.features):
        largest = sorted(range(dimensions), key=lambda d: -abs(z[d]))[:kept]
        total, left = abs(z).sum(), sum(abs(z[d]) for d in largest)
        factor = np.exp(total / left) if left else np.e
        scaled[row] = z * factor
        for d in largest:
            shaped["p"][row, d] = z[d]
            shaped["s"][row, d] = z[d] * factor
            shaped["b"][row, d] = np.sign(z[d]) * total / kept
    for variant, features in shaped.items():
        ours = scored(ActivationShaping(variant=variant, percentile=percentile), layer)
        np.testing.assert_allclose(ours, layer.energy(features), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(scored(Scale(percentile=percentile), layer), layer.energy(scaled), rtol=1e-9, atol=1e-9)


def test_shaping_by_hand():
    """Of 4, 1, 3, 2 the upper half is 4 and 3: the sum of all is 10, of these 7."""
    z = torch.tensor([[4.0, 1, 3, 2]])
    assert ActivationShaping(variant="p", percentile=50).shaped(z).tolist() == [[4, 0, 3, 0]]
    assert ActivationShaping(variant="b", percentile=50).shaped(z).tolist() == [[5, 0, 5, 0]]
    factor = np.exp(10 / 7)
    np.testing.assert_allclose(
        ActivationShaping(variant="s", percentile=50).shaped(z).numpy(), [[4 * factor, 0, 3 * factor, 0]], rtol=1e-6
    )


@pytest.mark.parametrize("part", [ActivationShaping, Scale])
def test_equal_activations_do_not_overflow(part):
    """The last of 4,096 equal ones is 4,096 times exceeded by all: exp of that is not a number of this world."""
    scorer = part(percentile=99.99)
    scorer.fit(Known(train=lambda: iter(()), val=lambda: iter(()), head=Head(torch.ones(2, 4096), torch.zeros(2))))
    assert scorer(Outputs(torch.full((1, 4096), 1e4), torch.zeros(1, 2))).isfinite().all()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([0, 50, 90, 99.5]), st.booleans())
def test_react_cuts_at_the_percentile_of_all_validation_activations(seed, percentile, signed):
    layer = Layer(seed, signed=signed)
    cut = np.percentile(layer.features, percentile)
    queries = 3 * Layer(seed + 1, signed=True).features
    ours = scored(ReAct(percentile=percentile), layer, queries)
    np.testing.assert_allclose(ours, layer.energy(np.minimum(queries, cut)), rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([0, 30, 70, 90]))
def test_dice_keeps_the_weights_that_contribute_most(seed, percentile):
    layer = Layer(seed)
    contributions = layer.weight * layer.features.mean(axis=0)
    weight = np.where(contributions >= np.percentile(contributions, percentile), layer.weight, 0)
    queries = Layer(seed + 1).features
    np.testing.assert_allclose(
        scored(Dice(percentile=percentile), layer, queries), layer.energy(queries, weight), rtol=1e-9, atol=1e-9
    )


def test_dice_by_hand():
    """Contributions 6, 1, -2, 3: at the median, 2, the weights 3 and 1 of the two classes stay."""
    layer = Layer(0, classes=2, dimensions=2)
    layer.weight, layer.bias = np.array([[3.0, 0.5], [-1, 1.5]]), np.zeros(2)
    layer.features = np.array([[1.0, 2], [3, 2]])
    np.testing.assert_allclose(
        scored(Dice(percentile=50), layer, np.array([[1.0, 1]])), -np.log(np.exp(3) + np.exp(1.5))
    )


@pytest.mark.parametrize("part", [ReAct, Dice, ActivationShaping, Scale])
def test_where_nothing_stands_out_it_is_energy(part):
    """Equal contributions, activations none of which is above the cut, or all of which are kept."""
    layer = Layer(3)
    if part is Dice:
        layer.features[:] = 0
    if part in (ActivationShaping, Scale):
        scorer, queries = part(percentile=0), np.zeros((4, 10))
    else:
        scorer, queries = part(), layer.features.clip(max=np.percentile(layer.features, 90))
    np.testing.assert_allclose(
        scored(scorer, layer, queries), Energy()(layer.outputs(queries)).numpy(), rtol=1e-9, atol=1e-9
    )


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 5))
def test_gradient_norm_is_that_of_the_gradient(seed, classes):
    layer = Layer(seed, images=6, classes=classes, signed=True)
    expected = []
    for z in torch.tensor(layer.features):
        weight = torch.tensor(layer.weight, requires_grad=True)
        loss = -(weight @ z + torch.tensor(layer.bias)).log_softmax(dim=0).sum()
        (gradient,) = torch.autograd.grad(loss, weight)
        expected.append(-gradient.abs().sum().item())
    np.testing.assert_allclose(GradientNorm()(layer.outputs()).numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("part", [*PARTS, GradientNorm])
def test_blocks_of_images_change_nothing(part, monkeypatch):
    layer, scorer = Layer(5), part()
    if hasattr(scorer, "fit"):
        scorer.fit(layer.known())
    whole = scorer(layer.outputs())
    monkeypatch.setattr(in_blocks, "ROWS", 7)
    torch.testing.assert_close(scorer(layer.outputs()), whole, rtol=1e-12, atol=1e-12)
    assert scorer(layer.outputs(np.empty((0, 10)))).shape == (0,)


@pytest.mark.parametrize("part", PARTS)
def test_what_is_missing_is_named(part):
    layer, scorer = Layer(6), part()
    assert part.needs_head
    with pytest.raises(UserError, match="fit it before it scores"):
        scorer(layer.outputs())
    with pytest.raises(UserError, match="needs the network's last layer, and these predictions have none"):
        scorer.fit(layer.known(head=False))
    scorer.fit(layer.known())
    with pytest.raises(UserError, match="the features have 3 dimensions, the last layer takes 10"):
        scorer(Outputs(torch.zeros(2, 3), torch.zeros(2, 4)))
    for percentile in (-1.0, 100.0, float("nan")):
        with pytest.raises(UserError, match="the percentile is a number from 0 to below 100"):
            part(percentile=percentile)
    if part in (ReAct, Dice):
        empty = Layer(6, images=0)
        with pytest.raises(UserError, match=r"is fitted on .* images, and there are none"):
            part().fit(empty.known())


def test_there_are_three_variants():
    with pytest.raises(UserError, match="ash: the variant is one of s, p, b, not q"):
        ActivationShaping(variant="q")
