"""The discriminative centroid loss against published numbers and a plain double loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from oltr.contracts import Outputs, Progress, UserError
from oltr.losses.disc_centroids import DiscCentroidsLoss, disc_centroids_loss

GOLDEN = {
    name.removeprefix("disc/"): torch.from_numpy(np.asarray(array))
    for name, array in np.load(Path(__file__).parent.parent / "golden" / "oltr_modules_losses.npz").items()
}
CASES = ("near", "far", "boundary")
KINDS = (torch.float32, torch.float64)
F64, F32 = {"rtol": 1e-9, "atol": 1e-12}, {"rtol": 1e-4, "atol": 1e-5}


def written_out(features: Tensor, centroids: Tensor, target: Tensor, margin: float, repel_weight: float) -> Tensor:
    """The loss by a double loop over samples and classes."""
    own, others = features.new_zeros(()), features.new_zeros(())
    for feature, label in zip(features, target.tolist(), strict=True):
        for k, centroid in enumerate(centroids):
            distance = (feature - centroid).square().sum()
            own, others = (own + distance, others) if k == label else (own, others + distance)
    repelled = (margin - others / (len(features) * len(centroids))).clamp_min(0)
    return own / 2 / len(features) + repel_weight * repelled


def inputs(case: str, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    features, centroids = (GOLDEN[f"{case}/{name}"].to(dtype, copy=True) for name in ("features", "centroids"))
    return features.requires_grad_(), centroids.requires_grad_(), GOLDEN[f"{case}/labels"]


def gradients(loss: Tensor, *tensors: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, tensors))


@pytest.mark.parametrize("case", CASES)
def test_loss_matches_the_published_code(case: str) -> None:
    features, centroids, target = inputs(case)
    assert_close(disc_centroids_loss(features, centroids, target), GOLDEN[f"{case}/loss"], **F64)
    summed = disc_centroids_loss(features, centroids, target, average=False)
    assert_close(summed, GOLDEN[f"{case}/sum_average_false"], **F64)
    attract = disc_centroids_loss(features, centroids, target, repel_weight=0)
    assert_close(attract, GOLDEN[f"{case}/attract/loss"][0], **F64)
    repel = disc_centroids_loss(features, centroids, target, repel_weight=1) - attract
    assert_close(repel, GOLDEN[f"{case}/repel_value"], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("weight", "name"), [(1.0, "w1"), (0.01, "w001")])
def test_published_gradient_ignores_the_weight_where_the_published_code_does(
    case: str, weight: float, name: str
) -> None:
    features, centroids, target = inputs(case)
    found = gradients(weight * disc_centroids_loss(features, centroids, target), features, centroids)
    assert_close(found[0], GOLDEN[f"{case}/grad_features_{name}"], **F64)
    assert_close(found[1], GOLDEN[f"{case}/grad_centroids_{name}"], **F64)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("weight", "name"), [(1.0, "go1p0"), (0.01, "go0p01"), (3.0, "go3p0")])
def test_published_gradient_of_the_attracting_term(case: str, weight: float, name: str) -> None:
    features, centroids, target = inputs(case)
    found = gradients(weight * disc_centroids_loss(features, centroids, target, repel_weight=0), features, centroids)
    assert_close(found[0], GOLDEN[f"{case}/attract/grad_features_{name}"], **F64)
    assert_close(found[1], GOLDEN[f"{case}/attract/grad_centroids_{name}"], **F64)
    absent = [k for k in range(len(centroids)) if k not in target.tolist()]
    assert absent
    assert (found[1][absent] == 0).all()


@pytest.mark.parametrize("case", CASES)
def test_autograd_is_the_derivative(case: str) -> None:
    features, centroids, target = inputs(case)
    attract = disc_centroids_loss(features, centroids, target, repel_weight=0, gradient="autograd")
    assert_close(gradients(attract, centroids)[0], GOLDEN[f"{case}/attract/true_grad_centroids"], **F64)
    loss = disc_centroids_loss(features, centroids, target, gradient="autograd")
    wanted = written_out(features, centroids, target, 10, 0.01)
    for found, expected in zip(
        gradients(loss, features, centroids), gradients(wanted, features, centroids), strict=True
    ):
        assert_close(found, expected, **F64)


@pytest.mark.parametrize("case", CASES)
def test_float32_matches_the_published_code(case: str) -> None:
    features, centroids, target = inputs(case, torch.float32)
    loss = disc_centroids_loss(features, centroids, target)
    assert_close(loss, GOLDEN[f"{case}/f32/loss"], **F32)
    found = gradients(loss, features, centroids)
    assert_close(found[0], GOLDEN[f"{case}/f32/grad_features"], **F32)
    assert_close(found[1], GOLDEN[f"{case}/f32/grad_centroids"], **F32)


def test_three_steps_of_training_match_the_published_code() -> None:
    centroids = GOLDEN["sgd/centroids0"].clone().requires_grad_()
    optimizer = torch.optim.SGD([centroids], lr=0.01, momentum=0.9, weight_decay=5e-4)
    for step in range(3):
        optimizer.zero_grad()
        loss = disc_centroids_loss(GOLDEN["sgd/features"][step], centroids, GOLDEN["sgd/labels"][step])
        (0.01 * loss).backward()
        optimizer.step()
        assert_close(centroids.detach(), GOLDEN["sgd/centroids"][step], **F64)


@given(
    batch=st.integers(1, 6),
    classes=st.integers(1, 5),
    width=st.integers(1, 4),
    margin=st.floats(0, 50),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_value_is_that_of_the_double_loop(batch: int, classes: int, width: int, margin: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(batch, width, generator=generator, dtype=torch.float64)
    centroids = torch.randn(classes, width, generator=generator, dtype=torch.float64)
    target = torch.randint(0, classes, (batch,), generator=generator)
    found = disc_centroids_loss(features, centroids, target, margin=margin, repel_weight=0.5)
    assert_close(found, written_out(features, centroids, target, margin, 0.5), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("offset", [100, 10_000])
def test_a_common_offset_costs_no_precision(offset: int) -> None:
    """Float32 features far from 0, as after a ReLU without normalisation, lose nothing in the closed form."""
    generator = torch.Generator().manual_seed(0)
    features, centroids = (torch.randn(n, 64, generator=generator) / 8 + offset for n in (32, 50))
    target = torch.randint(0, 50, (32,), generator=generator)
    found, wanted = (
        [loss, *gradients(loss, *given)]
        for given in ([value.to(kind).requires_grad_() for value in (features, centroids)] for kind in KINDS)
        for loss in [disc_centroids_loss(*given, target, margin=1e3, repel_weight=1)]
    )
    for single, double in zip(found, wanted, strict=True):
        assert_close(single.double(), double, rtol=1e-5, atol=1e-5 * float(double.detach().abs().max()))


def test_an_empty_batch_has_the_margin_and_no_gradient() -> None:
    features, centroids = torch.zeros(0, 2, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    loss = disc_centroids_loss(features, centroids, torch.zeros(0, dtype=torch.long), margin=3, repel_weight=0.5)
    assert loss.item() == 1.5
    assert gradients(loss, centroids)[0].eq(0).all()


@pytest.mark.parametrize(("gradient", "repel_weight"), [("published", 0.0), ("autograd", 1.0)])
def test_a_second_derivative_is_refused(gradient: str, repel_weight: float) -> None:
    features, centroids, target = inputs("near")
    options = {"gradient": gradient, "repel_weight": repel_weight, "margin": 1e3}
    with pytest.raises(RuntimeError, match="gives no second derivative"):
        torch.autograd.grad(disc_centroids_loss(features, centroids, target, **options), features, create_graph=True)


def test_the_shell_schedules_its_scalars() -> None:
    features, centroids, target = inputs("near")
    loss = DiscCentroidsLoss(margin=lambda p: 4.0 * p.epoch, repel_weight=lambda p: p.epoch / 4, gradient="autograd")
    found = loss(Outputs(features, features, centroids), target, Progress(epoch=2, epochs=5))
    assert_close(found, written_out(features, centroids, target, 8, 0.5), **F64)
    assert DiscCentroidsLoss.needs_memory


def test_half_precision_features_are_computed_in_float32() -> None:
    features, centroids, target = inputs("near", torch.float32)
    half = features.detach().bfloat16().requires_grad_()
    found = disc_centroids_loss(half, centroids, target)
    assert_close(found, disc_centroids_loss(half.float(), centroids, target), rtol=0, atol=0)
    found.backward()
    assert half.grad.dtype == torch.bfloat16
    assert centroids.grad.dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda f, c, y: DiscCentroidsLoss(gradient="exact"), "'published' or 'autograd', not 'exact'"),
        (lambda f, c, y: disc_centroids_loss(f, c, y, gradient="exact"), "not 'exact'"),
        (lambda f, c, y: DiscCentroidsLoss()(Outputs(f, f), y, Progress(epoch=0, epochs=1)), "add a `memory:` section"),
        (lambda f, c, y: disc_centroids_loss(f, c, y[:2]), r"class indices \[6\] .* not int64 \[2\]"),
        (lambda f, c, y: disc_centroids_loss(f, c[:, 1:], y), r"\[6, 8\] and \[4, 7\]"),
        (lambda f, c, y: disc_centroids_loss(f, c, f @ c.T), r"no soft targets, not float64 \[6, 4\]"),
    ],
)
def test_mistakes_are_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call(*inputs("near"))
