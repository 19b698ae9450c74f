"""The doors under ``loss/`` do what the published files do, in their positional form."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.testing import assert_close

ROOT = Path(__file__).parents[2]
CFL, ETA, DISC = (
    dict(np.load(ROOT / "tests" / "golden" / f"{name}.npz"))
    for name in ("cfl_losses", "cfl_schedules", "oltr_modules_losses")
)
LOGITS, TARGETS = torch.from_numpy(CFL["logits"]), torch.from_numpy(CFL["targets"])
ALWAYS_SMOOTHED = ["cyc0", "cyc1", "cyc2", "cyc6", "cyc10"]
"""The golden cases at the label smoothing that the published ``create_loss`` fixes, with a gamma_hc that cycles."""


def door(name: str) -> ModuleType:
    """A door as the published trainers open it: by path."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "loss" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_softmax_loss_is_mean_cross_entropy() -> None:
    found = door("SoftmaxLoss").create_loss()(LOGITS, TARGETS)
    assert_close(found, -LOGITS.log_softmax(1)[torch.arange(7), TARGETS].mean())


@pytest.mark.parametrize("case", ALWAYS_SMOOTHED)
def test_cyclical_focal_matches_the_published_code_at_every_epoch(case: str) -> None:
    """Epochs past the end and a negative eta included: the door keeps what ``oltr.losses`` mends."""
    pos, neg, confident, smoothing, epochs, factor = CFL[f"{case}/cfg"].tolist()
    assert smoothing == 0.1
    loss = door("asl_focal_loss").create_loss(pos, neg, confident, int(epochs), factor)
    for row, epoch in enumerate(CFL[f"{case}/epoch"].tolist()):
        logits = LOGITS.clone().requires_grad_()
        found = loss(logits, TARGETS, epoch)
        assert_close(found.item(), CFL[f"{case}/loss_mean"][row].item(), rtol=1e-9, atol=1e-12)
        found.backward()
        assert_close(logits.grad, torch.from_numpy(CFL[f"{case}/grad_mean"][row]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", [f"eta{k}" for k in range(11)])
def test_eta_is_the_published_one_unclamped(case: str) -> None:
    """Where the published OLTR copy divides by zero, ours has the eta of its TIMM copy: 0."""
    epochs, factor = ETA[f"{case}/cfg"].tolist()
    loss = door("asl_focal_loss").create_loss(0, 4, 2, int(epochs), factor)
    found = np.array([loss.eta(epoch) for epoch in range(len(ETA[f"{case}/timm"]))])
    np.testing.assert_allclose(found, ETA[f"{case}/timm"], rtol=1e-12, atol=1e-14)
    defined = ETA[f"{case}/oltr_status"] == 0
    np.testing.assert_allclose(found[defined], ETA[f"{case}/oltr"][defined], rtol=1e-12, atol=1e-14)


def test_a_single_epoch_has_eta_1_where_the_published_code_divides_by_zero() -> None:
    loss = door("asl_focal_loss").create_loss(0, 4, 2, 1, 2)
    assert [loss.eta(epoch) for epoch in (0, 1)] == [1.0, 1.0]


@pytest.mark.parametrize("row", np.flatnonzero(np.load(ROOT / "tests/golden/cfl_losses.npz")["asl/cfg"][:, 2] == 0.1))
def test_gamma_hc_0_is_the_loss_without_a_cycle_and_without_an_epoch(row: int) -> None:
    pos, neg, _ = CFL["asl/cfg"][row].tolist()
    found = door("asl_focal_loss").create_loss(pos, neg, 0, 30, 4)(LOGITS, TARGETS)
    assert_close(found.item(), CFL["asl/loss_mean"][row].item(), rtol=1e-9, atol=1e-12)


def test_soft_targets_are_hardened_as_published() -> None:
    pos, neg, confident, _, epochs, factor = CFL["cyc2/cfg"].tolist()
    loss = door("asl_focal_loss").create_loss(pos, neg, confident, int(epochs), factor)
    found = loss(LOGITS, torch.from_numpy(CFL["soft/targets"]), 3)
    assert_close(found.item(), CFL["soft/loss_none"].mean().item(), rtol=1e-9, atol=1e-12)


def test_disc_centroids_trains_its_own_centroids_as_published() -> None:
    loss = door("DiscCentroidsLoss").create_loss(8, 4).double()
    assert list(loss.state_dict()) == ["centroids"]
    loss.centroids.data = torch.from_numpy(DISC["disc/sgd/centroids0"]).clone()
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    for step in range(3):
        features, labels = (torch.from_numpy(DISC[f"disc/sgd/{name}"][step]) for name in ("features", "labels"))
        optimizer.zero_grad()
        (0.01 * loss(features, labels)).backward()
        optimizer.step()
        assert_close(loss.centroids.data, torch.from_numpy(DISC["disc/sgd/centroids"][step]), rtol=1e-9, atol=1e-12)


def test_disc_centroids_takes_size_average() -> None:
    loss = door("DiscCentroidsLoss").create_loss(8, 4, False).double()
    features, centroids, labels = (
        torch.from_numpy(DISC[f"disc/near/{name}"]) for name in ("features", "centroids", "labels")
    )
    loss.centroids.data = centroids
    assert_close(loss(features, labels).item(), DISC["disc/near/sum_average_false"].item(), rtol=1e-9, atol=1e-12)
    assert door("DiscCentroidsLoss").create_loss().centroids.shape == (1000, 512)


@pytest.mark.parametrize("case", [f"cyc{index}" for index in range(11)])
def test_where_the_published_loss_raises_the_door_gives_a_finite_one(case: str) -> None:
    """It divides by zero at factor 1 past its end; the door goes on with eta 0, as the other published copy does."""
    pos, neg, confident, _, epochs, factor = CFL[f"{case}/cfg"].tolist()
    raises = CFL[f"{case}/oltr/status"] == 1
    numbers = CFL[f"{case}/epoch"]
    assert raises.tolist() == ((factor == 1) & (numbers >= epochs)).tolist()
    for epoch in numbers[raises].tolist():
        loss = door("asl_focal_loss").create_loss(pos, neg, confident, int(epochs), factor)
        asymmetric = door("asl_focal_loss").create_loss(pos, neg, 0, int(epochs), factor)
        assert_close(loss(LOGITS, TARGETS, epoch), asymmetric(LOGITS, TARGETS))
