"""The cosine classifier against golden numbers, and at the points where the published one gives NaN."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oltr.contracts import UserError
from oltr.networks.cosine import Cosine
from oltr.networks.dot_product import DotProduct


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parents[1] / "golden" / "oltr_modules.npz") as arrays:
        return {k.removeprefix("cosnorm/"): torch.tensor(v) for k, v in arrays.items() if k.startswith("cosnorm/")}


def classifier(golden, scale=16.0):
    built = Cosine(feature_dim=8, num_classes=4, scale=scale).double()
    built.inherit({"weight": golden["weight"]})
    return built


def test_golden_logits_and_gradients(golden):
    built, features = classifier(golden), golden["x"].clone().requires_grad_()
    logits = built(features, None)
    logits.backward(golden["cotangent"])
    np.testing.assert_allclose(logits.detach(), golden["logits"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(features.grad, golden["grad_x"], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(built.weight.grad, golden["grad_weight"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [1, 16, 30])
def test_golden_scales(golden, scale):
    logits = classifier(golden, float(scale))(golden["x"]).detach()
    np.testing.assert_allclose(logits, golden[f"logits_scale{scale}"], rtol=1e-9, atol=1e-12)


def test_a_zero_feature_is_finite_where_the_published_one_is_not(golden):
    built, features = classifier(golden), golden["x"].clone()
    features[2] = 0
    features.requires_grad_()
    logits = built(features)
    logits.backward(golden["cotangent"])
    others = [0, 1, 3, 4, 5]
    assert golden["zero_row/logits"][2].isnan().all()
    np.testing.assert_allclose(logits[others].detach(), golden["zero_row/logits"][others], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(features.grad[others], golden["zero_row/grad_x"][others], rtol=1e-8, atol=1e-12)
    assert torch.equal(logits[2], torch.zeros(4, dtype=torch.float64))
    unit = built.weight.detach() / built.weight.detach().norm(dim=1, keepdim=True)
    torch.testing.assert_close(features.grad[2], 16 * golden["cotangent"][2] @ unit)  # the derivative at zero
    assert built.weight.grad.isfinite().all()


@settings(deadline=None, max_examples=30)
@given(st.floats(1e-12, 1e12), st.floats(0.1, 64), st.integers(0, 2**31))
def test_logits_are_the_cosine_times_a_squashed_length(length, scale, seed):
    torch.manual_seed(seed)
    built = Cosine(feature_dim=5, num_classes=3, scale=scale).double()
    features = torch.nn.functional.normalize(torch.randn(4, 5, dtype=torch.float64)) * length
    cosines = torch.cosine_similarity(features.unsqueeze(1), built.weight.unsqueeze(0), dim=2, eps=1e-300)
    torch.testing.assert_close(built(features), scale * length / (1 + length) * cosines)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(UserError, match=r"scale: .* positive number"):
        Cosine(feature_dim=5, num_classes=3, scale=scale)


def test_a_linear_predecessor_is_refused():
    with pytest.raises(
        UserError, match=r"cosine takes over weights named weight; the stage before has fc.weight, fc.bias"
    ):
        Cosine(feature_dim=5, num_classes=3).inherit(DotProduct(feature_dim=5, num_classes=3).state_dict())


def test_weights_of_any_length_count_by_their_direction():
    """One of zero length has logits 0; the others are as if they were of length 1, with gradients to match."""
    torch.manual_seed(0)
    built, features = Cosine(feature_dim=3, num_classes=4), torch.randn(5, 3)
    with torch.no_grad():
        built.weight.mul_(torch.tensor([[0.0], [1e-8], [1.0], [1e8]]))
    logits = built(features)
    weight = built.weight.detach().double().requires_grad_()
    unit = torch.nn.functional.normalize(weight, dim=1)
    wanted = built.penultimate(features).double() @ unit.T
    torch.testing.assert_close(logits.double(), wanted, rtol=1e-5, atol=1e-5)
    assert logits[:, 0].eq(0).all()
    (found,) = torch.autograd.grad(logits.square().sum(), built.weight)
    (gradient,) = torch.autograd.grad(wanted.square().sum(), weight)
    for row in (1, 2, 3):
        torch.testing.assert_close(
            found[row].double(), gradient[row], rtol=1e-4, atol=1e-4 * float(gradient[row].abs().max())
        )
