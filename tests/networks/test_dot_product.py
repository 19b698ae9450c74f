"""The linear classifier against golden numbers, and what it takes over."""

from pathlib import Path

import numpy as np
import pytest
import torch

from oltr.contracts import UserError
from oltr.networks.dot_product import DotProduct


def test_golden_logits_and_gradients():
    with np.load(Path(__file__).parents[1] / "golden" / "oltr_modules.npz") as arrays:
        golden = {key: torch.tensor(value) for key, value in arrays.items() if key.startswith("dot/")}
    classifier = DotProduct(feature_dim=8, num_classes=4).double()
    classifier.inherit({key: golden[f"dot/{key}"] for key in ("fc.weight", "fc.bias")})
    features = golden["dot/x"].requires_grad_()
    logits = classifier(features, torch.zeros(4, 8))
    logits.backward(golden["dot/cotangent"])
    np.testing.assert_allclose(logits.detach(), golden["dot/logits"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(features.grad, golden["dot/grad_x"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(classifier.fc.weight.grad, golden["dot/grad_weight"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(classifier.fc.bias.grad, golden["dot/grad_bias"], rtol=1e-9, atol=1e-12)


def test_other_classes_are_refused_and_change_nothing():
    classifier = DotProduct(feature_dim=3, num_classes=4)
    before = classifier.fc.bias.clone()
    with pytest.raises(
        UserError, match=r"dot_product cannot take over fc.weight: it is \[4, 3\] here, \[5, 3\] before"
    ):
        classifier.inherit(DotProduct(feature_dim=3, num_classes=5).state_dict())
    assert torch.equal(classifier.fc.bias, before)


@pytest.mark.parametrize(("keys", "named"), [((), "none"), (("weight",), "weight"), (tuple("abcdefgh"), "f, ...")])
def test_other_names_are_refused(keys, named):
    with pytest.raises(UserError, match=rf"named fc.weight, fc.bias; the stage before has .*{named}$"):
        DotProduct(feature_dim=3, num_classes=4).inherit(dict.fromkeys(keys, torch.zeros(1)))
