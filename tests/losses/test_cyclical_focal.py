"""The cyclical focal loss against published numbers, exact limits, and the formula written out."""

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
from oltr.losses.cyclical_focal import (
    CyclicalFocalLoss,
    asymmetric_focal_loss,
    cyclical_focal_loss,
    focal_loss,
)

GOLDEN = {
    name: torch.from_numpy(array)
    for name, array in np.load(Path(__file__).parent.parent / "golden" / "cfl_losses.npz").items()
}
LOGITS, TARGETS, COTANGENT = GOLDEN["logits"], GOLDEN["targets"], GOLDEN["cotangent"]
EXTREMES = sorted({name.split("/")[1] for name in GOLDEN if name.endswith("/exact_loss")})
GAMMAS = st.floats(0, 6) | st.sampled_from([0.0, 1e-3, 0.5, 1.0, 2.0])


def written_out(logits: Tensor, target: Tensor, *, eta, gamma_pos, gamma_neg, gamma_hc, label_smoothing) -> Tensor:
    """The loss of hard targets, class by class, in plain Python floats on autograd's tape."""
    losses = []
    for row, own in zip(logits, target.tolist(), strict=True):
        p = row.softmax(0)
        loss = row.new_zeros(())
        for k in range(len(row)):
            smoothed = (1 - label_smoothing) * (k == own) + label_smoothing / len(row)
            focal = (1 - p[k]) ** gamma_pos if k == own else p[k] ** gamma_neg
            confident = (1 + p[k]) ** gamma_hc if k == own else 1.0
            loss = loss - smoothed * p[k].log() * ((1 - eta) * focal + eta * confident)
        losses.append(loss)
    return torch.stack(losses)


def check(prefix: str, row: int, function, *, dtype: torch.dtype = torch.float64) -> None:
    """Every golden array of a case that is there: losses and both gradients."""
    logits = LOGITS.to(dtype, copy=True).requires_grad_()
    loss = function(logits, TARGETS)
    found = {
        "loss_none": loss,
        "loss_mean": loss.mean(),
        "grad_mean": torch.autograd.grad(loss.mean(), logits, retain_graph=True)[0],
        "grad_none": torch.autograd.grad(loss, logits, COTANGENT.to(dtype))[0],
    }
    rtol, atol = (1e-9, 1e-12) if dtype == torch.float64 else (1e-4, 1e-6)
    present = [name for name in found if f"{prefix}/{name}" in GOLDEN]
    assert present
    for name in present:
        assert_close(found[name], GOLDEN[f"{prefix}/{name}"][row], rtol=rtol, atol=atol)


@pytest.mark.parametrize("row", range(len(GOLDEN["asl/cfg"])))
def test_asymmetric_focal_matches_the_published_code(row: int) -> None:
    pos, neg, smoothing = GOLDEN["asl/cfg"][row].tolist()
    check("asl", row, lambda x, y: asymmetric_focal_loss(x, y, gamma_pos=pos, gamma_neg=neg, label_smoothing=smoothing))


@pytest.mark.parametrize("row", range(len(GOLDEN["focal/cfg"])))
def test_focal_matches_the_published_code(row: int) -> None:
    gamma, smoothing = GOLDEN["focal/cfg"][row].tolist()
    check("focal", row, lambda x, y: focal_loss(x, y, gamma=gamma, label_smoothing=smoothing))


def cyclical(case: str, row: int):
    pos, neg, confident, smoothing, _, _ = GOLDEN[f"{case}/cfg"].tolist()
    options = {"gamma_pos": pos, "gamma_neg": neg, "gamma_hc": confident, "label_smoothing": smoothing}
    return lambda x, y: cyclical_focal_loss(x, y, eta=GOLDEN[f"{case}/eta"][row].item(), **options)


@pytest.mark.parametrize("case", [f"cyc{k}" for k in range(11)])
def test_cyclical_matches_the_published_code_at_its_eta(case: str) -> None:
    """Also at the epochs past the end where the published eta leaves [0, 1]: there the formula is the same."""
    for row in range(len(GOLDEN[f"{case}/epoch"])):
        check(case, row, cyclical(case, row))


def test_float32_matches_the_published_code() -> None:
    for row in range(len(GOLDEN["cyc1/epoch"])):
        check("f32/cyc1", row, cyclical("cyc1", row), dtype=torch.float32)


@pytest.mark.parametrize("case", [f"cyc{k}" for k in range(11)])
def test_the_shell_matches_the_published_code_in_timm_numbering(case: str) -> None:
    """Epochs count from 0 there. Departures: epochs past the end, where the published eta exceeds 1, do not exist here;
    and just after the turn a factor that is not whole makes it negative (cyc6, epoch 7: -0.05; ours climbs, 0.1).
    """
    pos, neg, confident, smoothing, epochs, factor = GOLDEN[f"{case}/cfg"].tolist()
    loss = CyclicalFocalLoss(gamma_pos=pos, gamma_neg=neg, gamma_hc=confident, label_smoothing=smoothing, factor=factor)
    for row, epoch in enumerate(GOLDEN[f"{case}/epoch"].tolist()):
        if epoch < epochs and GOLDEN[f"{case}/eta"][row] >= 0:
            found = loss(Outputs(LOGITS, LOGITS), TARGETS, Progress(epoch=epoch, epochs=int(epochs)))
            assert_close(found, GOLDEN[f"{case}/loss_mean"][row], rtol=1e-9, atol=1e-12)


def test_gradients_of_soft_targets_whatever_their_sum() -> None:
    logits = LOGITS.clone().requires_grad_()
    shares = torch.linspace(0.1, 0.9, logits.numel(), dtype=logits.dtype).view_as(logits)

    def each(target: Tensor) -> Tensor:
        return cyclical_focal_loss(logits, target.expand(len(logits)), eta=0.4)

    expected = sum(shares[:, k] * each(torch.tensor([k])) for k in range(logits.shape[1]))
    found = cyclical_focal_loss(logits, shares, eta=0.4)
    assert_close(found, expected, rtol=1e-9, atol=1e-12)
    gradients = [torch.autograd.grad(loss.sum(), logits)[0] for loss in (found, expected)]
    assert_close(*gradients, rtol=1e-9, atol=1e-12)


def test_a_second_derivative_is_refused() -> None:
    logits = LOGITS.clone().requires_grad_()
    with pytest.raises(RuntimeError, match="gives no second derivative"):
        torch.autograd.grad(cyclical_focal_loss(logits, TARGETS, eta=0.5).mean(), logits, create_graph=True)


def extreme_options(case: str) -> dict[str, float]:
    kind, *numbers = case.split("_")
    pos, neg, *rest = (float(number.strip("efat")) for number in numbers)
    if kind == "asl":
        return {"eta": 0.0, "gamma_pos": pos, "gamma_neg": neg, "gamma_hc": 2.0, "label_smoothing": rest[0]}
    confident, smoothing, epochs, factor, epoch = rest
    turn = factor * epoch / (epochs - 1)
    eta = 1 - turn if factor * epoch < epochs else (turn - 1) / (factor - 1)
    return {"eta": eta, "gamma_pos": pos, "gamma_neg": neg, "gamma_hc": confident, "label_smoothing": smoothing}


@pytest.mark.parametrize("case", EXTREMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_extreme_logits_give_the_exact_limits(case: str, dtype: torch.dtype) -> None:
    """At +-50 and +-1e4. The published gradient is NaN for gammas in (0, 1) where p is 0 or 1; ours is the limit."""
    logits = GOLDEN["extreme/logits"].to(dtype, copy=True).requires_grad_()
    loss = cyclical_focal_loss(logits, GOLDEN["extreme/targets"], **extreme_options(case))
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    name = "f64" if dtype == torch.float64 else "f32"
    tolerance = {"rtol": 1e-6, "atol": 1e-9} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-4}
    assert_close(loss, GOLDEN[f"extreme/{case}/exact_loss"].to(dtype), **tolerance)
    assert_close(gradient, GOLDEN[f"extreme/{case}/exact_grad"].to(dtype), **tolerance)
    assert_close(loss, GOLDEN[f"extreme/{case}/{name}/loss_none"], **tolerance)
    published = GOLDEN[f"extreme/{case}/{name}/grad_none"]
    assert_close(torch.where(published.isnan(), published, gradient), published, equal_nan=True, **tolerance)


@given(
    eta=st.floats(0, 1),
    gamma_pos=GAMMAS | st.just(1e6),
    gamma_neg=GAMMAS | st.just(1e6),
    gamma_hc=GAMMAS | st.just(100.0),
    label_smoothing=st.sampled_from([0.0, 0.1, 1.0]),
    scale=st.sampled_from([1.0, 30.0, 1e3, 1e4]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=150, deadline=None)
def test_values_and_gradients_are_finite(scale: float, dtype: torch.dtype, seed: int, **options: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randint(-1, 2, (6, 4), generator=generator) * scale).to(dtype).requires_grad_()
    loss = cyclical_focal_loss(logits, torch.arange(6) % 4, **options)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert loss.isfinite().all()
    assert (loss >= 0).all()
    assert gradient.isfinite().all()


@given(
    eta=st.floats(-1, 2),
    gamma_pos=GAMMAS,
    gamma_neg=GAMMAS,
    gamma_hc=GAMMAS,
    label_smoothing=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_value_and_gradient_are_those_of_the_formula(seed: int, **options: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 4, generator=generator, dtype=torch.float64).requires_grad_()
    target = torch.randint(0, 4, (3,), generator=generator)
    found, wanted = cyclical_focal_loss(logits, target, **options), written_out(logits, target, **options)
    assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    gradients = [torch.autograd.grad(loss.square().sum(), logits)[0] for loss in (found, wanted)]
    assert_close(*gradients, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.5])
def test_gradcheck(gamma: float) -> None:
    soft = torch.rand(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()
    for target in (torch.tensor([0, 2, 1, 1]), soft / soft.sum(1, keepdim=True)):
        options = {"eta": 0.3, "gamma_pos": gamma, "gamma_neg": gamma, "gamma_hc": gamma, "label_smoothing": 0.1}
        assert torch.autograd.gradcheck(lambda x, t=target, o=options: cyclical_focal_loss(x, t, **o), (logits,))


def test_soft_targets_average_the_losses_of_their_classes() -> None:
    """A departure: the published code hardens soft targets by argmax, so mixup would lose its point."""
    soft = GOLDEN["soft/targets"]
    pos, neg, confident, smoothing, epochs, factor = GOLDEN["cyc2/cfg"].tolist()
    options = {"gamma_pos": pos, "gamma_neg": neg, "gamma_hc": confident, "label_smoothing": smoothing}
    options["eta"] = Progress(epoch=3, epochs=int(epochs)).cycle(factor)
    found = cyclical_focal_loss(LOGITS, soft, **options)
    wanted = sum(soft[:, k] * written_out(LOGITS, torch.full_like(TARGETS, k), **options) for k in range(5))
    assert_close(found, wanted, rtol=1e-10, atol=0)
    assert_close(cyclical_focal_loss(LOGITS, 3 * soft, **options), 3 * found, rtol=1e-10, atol=0)
    hardened = cyclical_focal_loss(LOGITS, soft.argmax(1), **options)
    assert_close(hardened, GOLDEN["soft/loss_none"], rtol=1e-9, atol=1e-12)
    one_hot = torch.nn.functional.one_hot(TARGETS, 5).double()
    assert_close(cyclical_focal_loss(LOGITS, one_hot, **options), cyclical_focal_loss(LOGITS, TARGETS, **options))


def test_without_exponents_it_is_cross_entropy_whatever_eta() -> None:
    for eta in (0.0, 0.4, 1.0):
        found = cyclical_focal_loss(LOGITS, TARGETS, eta=eta, gamma_pos=0, gamma_neg=0, gamma_hc=0, label_smoothing=0.2)
        wanted = torch.nn.functional.cross_entropy(LOGITS, TARGETS, reduction="none", label_smoothing=0.2)
        assert_close(found, wanted)


def test_half_precision_is_computed_in_float32() -> None:
    logits = LOGITS.bfloat16().requires_grad_()
    loss = cyclical_focal_loss(logits, TARGETS, eta=0.5)
    assert_close(loss, cyclical_focal_loss(logits.detach().float(), TARGETS, eta=0.5), rtol=0, atol=0)
    loss.sum().backward()
    assert logits.grad is not None
    assert logits.grad.dtype == torch.bfloat16


def test_every_scalar_of_the_shell_takes_a_schedule() -> None:
    names = ("gamma_pos", "gamma_neg", "gamma_hc", "eta", "label_smoothing", "temperature")
    values = dict(zip(names, (1.0, 3.0, 2.0, 0.25, 0.05, 2.0), strict=True))
    scheduled = CyclicalFocalLoss(**{name: lambda p, v=value: v * p.epoch for name, value in values.items()})
    found = scheduled(Outputs(LOGITS, LOGITS), TARGETS, Progress(epoch=2, epochs=9))
    doubled = {name: 2 * value for name, value in values.items() if name != "temperature"}
    assert_close(found, written_out(LOGITS / 4, TARGETS, **doubled).mean(), rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: cyclical_focal_loss(LOGITS, TARGETS, eta=0.0, gamma_neg=-1), "gamma_neg is a number of at least 0"),
        (lambda: cyclical_focal_loss(LOGITS, TARGETS, eta=0.0, gamma_hc=float("nan")), "gamma_hc"),
        (lambda: cyclical_focal_loss(LOGITS, TARGETS, eta=0.0, label_smoothing=1.5), "between 0 and 1, not 1.5"),
        (lambda: cyclical_focal_loss(LOGITS, TARGETS[:3], eta=0.0), r"indices \[7\].*not int64 \[3\]"),
        (lambda: cyclical_focal_loss(LOGITS, TARGETS.double(), eta=0.0), r"probabilities \[7, 5\].*not float64 \[7\]"),
        (lambda: cyclical_focal_loss(LOGITS[0], TARGETS, eta=0.0), r"\[batch, classes\], not \[5\]"),
        (lambda: CyclicalFocalLoss(factor=0.5), "factor is at least 1, not 0.5"),
        (lambda: CyclicalFocalLoss(temperature=0), "temperature is a number above 0, not 0"),
        (lambda: CyclicalFocalLoss(gamma_pos=-2), "gamma_pos .* not -2"),
        (
            lambda: CyclicalFocalLoss(gamma_neg=lambda p: -1.0)(
                Outputs(LOGITS, LOGITS), TARGETS, Progress(epoch=0, epochs=2)
            ),
            "gamma_neg .* not -1",
        ),
    ],
)
def test_mistakes_are_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
