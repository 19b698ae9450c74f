"""Meta-embedding against golden numbers, where the published one gives NaN, and what it takes over."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from oltr.contracts import UserError
from oltr.networks.cosine import Cosine
from oltr.networks.distances import nearest_distance
from oltr.networks.dot_product import DotProduct
from oltr.networks.meta_embedding import MINIMUM_DISTANCE, MetaEmbedding

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "oltr_modules.npz") as arrays:
        return {key.removeprefix("meta/"): torch.tensor(v) for key, v in arrays.items() if key.startswith("meta/")}


@pytest.fixture
def classifier(golden):
    built = MetaEmbedding(feature_dim=8, num_classes=4).double()
    built.inherit({key: golden[key] for key in built.state_dict()})
    return built


@pytest.mark.parametrize("of", ["logits", "infused"])
def test_golden_values_and_gradients(golden, classifier, of):
    features, centroids = golden["x"].clone().requires_grad_(), golden["centroids"].clone().requires_grad_()
    value = classifier(features, centroids) if of == "logits" else classifier.infuse(features, centroids)
    known = golden["logits" if of == "logits" else "infused_feature"]
    np.testing.assert_allclose(value.detach(), known, rtol=1e-9, atol=1e-12)
    value.backward(golden[f"cotangent_{of}"])
    gradients = {"x": features.grad, "centroids": centroids.grad}
    gradients |= {key: parameter.grad for key, parameter in classifier.named_parameters()}
    expected = [key for key in golden if key.startswith(f"grad_{of}/")]
    assert len(expected) >= 6
    for key in expected:
        np.testing.assert_allclose(gradients[key.partition("/")[2]], golden[key], rtol=1e-8, atol=1e-12, err_msg=key)


def test_golden_reachability_and_float32(golden, classifier):
    distance = nearest_distance(golden["x"], golden["centroids"])
    np.testing.assert_allclose(10 / distance, golden["reachability"], rtol=1e-9, atol=1e-12)
    features, centroids = golden["x"].float(), golden["centroids"].float()
    classifier.float()
    np.testing.assert_allclose(classifier(features, centroids).detach(), golden["f32/logits"], rtol=1e-4, atol=1e-5)
    infused = classifier.infuse(features, centroids).detach()
    np.testing.assert_allclose(infused, golden["f32/infused_feature"], rtol=1e-4, atol=1e-5)


def test_a_feature_at_a_centroid_is_finite_where_the_published_one_is_not(golden, classifier):
    features, centroids = golden["coincident/x"].clone().requires_grad_(), golden["centroids"]
    logits = classifier(features, centroids)
    assert golden["coincident/logits"][0].isnan().all()
    np.testing.assert_allclose(logits[1:].detach(), golden["coincident/logits"][1:], rtol=1e-9, atol=1e-12)
    # The limit of an infinite reachability: the squashed length is 1, up to the least distance.
    direction = torch.nn.functional.normalize(features[:1] + classifier.infuse(features, centroids)[:1])
    unit = torch.nn.functional.normalize(classifier.cosnorm_classifier.weight)
    torch.testing.assert_close(logits[:1], 16 * direction @ unit.T, rtol=1e-3, atol=0)
    logits.sum().backward()
    gradients = [features.grad, *(parameter.grad for parameter in classifier.parameters())]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert max(gradient.abs().max() for gradient in gradients) < 1e3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_features_in_an_empty_memory_are_finite(dtype):
    classifier = MetaEmbedding(feature_dim=6, num_classes=3).to(dtype)
    features = torch.zeros(2, 6, dtype=dtype, requires_grad=True)
    logits = classifier(features, torch.zeros(3, 6, dtype=dtype))
    assert torch.equal(logits, torch.zeros_like(logits))
    logits.sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in (features, *classifier.parameters()))


def test_the_least_distance_is_continuous(classifier, golden):
    centroids = golden["centroids"]
    step = torch.zeros(8, dtype=torch.float64)
    step[0] = 1
    inside, outside = ((centroids[:1] + f * MINIMUM_DISTANCE * step) for f in (0.999, 1.001))
    torch.testing.assert_close(classifier(inside, centroids), classifier(outside, centroids), rtol=1e-4, atol=1e-4)


def test_bfloat16_autocast_stays_near_and_finite(classifier, golden):
    classifier.float()
    features, centroids = golden["coincident/x"].float(), golden["centroids"].float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        reduced = classifier(features, centroids)
    torch.testing.assert_close(reduced.float(), classifier(features, centroids), rtol=0.05, atol=0.2)


def test_a_batch_can_be_split(classifier, golden):
    whole = classifier(golden["x"], golden["centroids"])
    parts = [classifier(part, golden["centroids"]) for part in golden["x"].split(2)]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_no_tensor_of_batch_by_classes_by_features(classifier):
    batch, classes, dim = 32, 40, 24
    classifier = MetaEmbedding(feature_dim=dim, num_classes=classes)
    sizes = []

    class Recorder(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            sizes.extend(value.numel() for value in (result,) if isinstance(value, torch.Tensor))
            return result

    features = torch.randn(batch, dim, requires_grad=True)
    with Recorder():
        classifier(features, torch.randn(classes, dim)).sum().backward()
    assert max(sizes) == batch * classes


def test_a_linear_predecessor_becomes_the_address_of_the_memory():
    linear, classifier = DotProduct(feature_dim=5, num_classes=3), MetaEmbedding(feature_dim=5, num_classes=3)
    selector = classifier.fc_selector.weight.clone()
    classifier.inherit(linear.state_dict())
    features = torch.randn(2, 5)
    assert torch.equal(classifier.fc_hallucinator(features), linear(features))
    assert torch.equal(classifier.fc_selector.weight, selector)


def test_other_predecessors_are_refused():
    classifier = MetaEmbedding(feature_dim=5, num_classes=3)
    with pytest.raises(
        UserError, match=r"fc_hallucinator cannot take over weight: it is \[3, 5\] here, \[4, 5\] before"
    ):
        classifier.inherit(DotProduct(feature_dim=5, num_classes=4).state_dict())
    with pytest.raises(UserError, match=r"fc.weight and fc.bias, or all of fc_hallucinator.weight.*has weight$"):
        classifier.inherit(Cosine(feature_dim=5, num_classes=3).state_dict())


@pytest.mark.parametrize(("part", "model"), [(DotProduct, "dotproduct"), (MetaEmbedding, "metaembedding")])
def test_state_dicts_have_the_published_names_shapes_and_order(part, model):
    state = part(feature_dim=512, num_classes=10).state_dict()
    text = "\n".join(f"{key} {list(value.shape)}" for key, value in state.items())
    known = json.loads((GOLDEN / "oltr_layouts.json").read_text())[f"{model}_512_10"]
    assert hashlib.sha256(text.encode()).hexdigest() == known["sha256"]
    assert sum(value.numel() for value in state.values()) == known["parameters"]


def test_it_needs_a_memory():
    assert MetaEmbedding.needs_memory
    with pytest.raises(UserError, match="meta_embedding reads a memory of class centroids"):
        MetaEmbedding(feature_dim=5, num_classes=3)(torch.zeros(1, 5), None)
