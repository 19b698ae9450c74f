"""Cross-entropy against its definition, and class weights against published numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from oltr.contracts import Outputs, Progress, UserError
from oltr.losses.cross_entropy import CrossEntropy, cross_entropy, effective_number_weights

GOLDEN = dict(np.load(Path(__file__).parent.parent / "golden" / "class_weights.npz"))
LOGITS, TARGET = torch.from_numpy(GOLDEN["logits"]), torch.from_numpy(GOLDEN["targets"])
PROGRESS = Progress(epoch=1, epochs=4)
SOFT = torch.rand(8, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SOFT = SOFT / SOFT.sum(1, keepdim=True)


def mean(target: Tensor = TARGET, logits: Tensor = LOGITS, **options) -> Tensor:
    return CrossEntropy(**options)(Outputs(logits, logits), target, PROGRESS)


def test_hard_and_soft_targets_follow_the_definition() -> None:
    log_p = LOGITS - LOGITS.exp().sum(1, keepdim=True).log()
    assert_close(cross_entropy(LOGITS, TARGET), -log_p[torch.arange(8), TARGET])
    assert_close(cross_entropy(LOGITS, SOFT), -(SOFT * log_p).sum(1))
    smoothed = 0.7 * SOFT + 0.3 / 5
    assert_close(cross_entropy(LOGITS, SOFT, label_smoothing=0.3), -(smoothed * log_p).sum(1))
    weights = torch.tensor([1.0, 0.0, 2.0, 3.0, 0.5])
    found = cross_entropy(LOGITS, SOFT, label_smoothing=0.3, class_weights=weights)
    assert_close(found, -(smoothed * log_p * weights).sum(1))


def test_extreme_logits_are_finite() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([1, 1]), label_smoothing=0.1)
    assert_close(loss[0].item(), 0.9 * 2e4 + 0.1 / 3 * 3e4)
    loss.sum().backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("row", range(5))
def test_effective_number_weights_match_the_published_ones(row: int) -> None:
    weights = effective_number_weights(GOLDEN["counts"], beta=GOLDEN["cb/betas"][row])
    np.testing.assert_allclose(weights, GOLDEN["cb/weights"][row], rtol=1e-10)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=20).filter(any), st.floats(0, 1))
def test_effective_number_weights_fall_with_the_count(counts: list[int], beta: float) -> None:
    weights = effective_number_weights(np.array(counts), beta=beta)
    assert np.isclose(weights.sum(), len(counts))
    assert all(weight == 0 for weight, count in zip(weights, counts, strict=True) if count == 0)
    present = sorted((count, -weight) for weight, count in zip(weights, counts, strict=True) if count)
    assert np.all(np.diff([weight for _, weight in present]) >= -1e-12)


def test_the_limits_of_beta() -> None:
    counts = np.array([8, 4, 0, 2])
    np.testing.assert_allclose(effective_number_weights(counts, beta=0), [4 / 3, 4 / 3, 0, 4 / 3])
    inverse = effective_number_weights(counts, beta=1)
    np.testing.assert_allclose(inverse, np.array([1, 2, 0, 4]) * 4 / 7)
    np.testing.assert_allclose(effective_number_weights(counts, beta=1 - 1e-9), inverse, rtol=1e-7)


def test_balanced_loss_and_gradient_match_the_published_ones() -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = mean(logits=logits, class_weights="balanced", beta=0.9999, train_counts=GOLDEN["counts"])
    loss.backward()
    assert_close(loss.item(), GOLDEN["cb_ce/loss"].item(), rtol=1e-9, atol=1e-12)
    assert_close(logits.grad, torch.from_numpy(GOLDEN["cb_ce/grad"]), rtol=1e-9, atol=1e-12)


def test_soft_one_hot_targets_weigh_as_indices_do() -> None:
    one_hot = torch.nn.functional.one_hot(TARGET, 5).double()
    weights = [1, 2, 0, 4, 5]
    assert_close(mean(one_hot, class_weights=weights), mean(class_weights=weights))
    assert_close(mean(torch.full_like(TARGET, 2), class_weights=weights).item(), 0.0)


def test_scalars_are_scheduled_and_half_precision_is_float32() -> None:
    found = mean(temperature=lambda p: 2.0 * p.epoch, label_smoothing=lambda p: p.epoch / 10)
    assert_close(found, torch.nn.functional.cross_entropy(LOGITS / 2, TARGET, label_smoothing=0.1))
    half = LOGITS.bfloat16()
    assert_close(mean(logits=half, temperature=3.0), mean(logits=half.float(), temperature=3.0), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"class_weights": "balancd"}, "'balanced' or a list of one number a class, not 'balancd'"),
        ({"class_weights": "balanced"}, "needs train_counts"),
        ({"class_weights": "balanced", "beta": 2.0, "train_counts": np.array([3, 1])}, "beta .* not 2"),
        ({"class_weights": "balanced", "train_counts": np.array([0, 0])}, "train_counts has none"),
        ({"class_weights": [1.0, 2.0], "train_counts": np.array([3, 1, 1])}, "2 numbers for 3 classes"),
        ({"class_weights": [1.0, 2.0]}, "2 numbers for 5 classes"),
        ({"class_weights": [1.0, -2.0]}, "at least 0"),
        ({"label_smoothing": -0.1}, "label_smoothing .* not -0.1"),
        ({"temperature": -1.0}, "temperature .* not -1"),
    ],
)
def test_mistakes_are_named(options, said: str) -> None:
    with pytest.raises(UserError, match=said):
        mean(**options)
