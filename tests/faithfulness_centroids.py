"""The published centroids beside ours: their loss, its gradients, and the class means that they start as."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from oltr.losses.disc_centroids import disc_centroids_loss
from oltr.networks.class_means import class_means
from tests.faithfulness_sheet import Piece, Sheet, golden

DISC, MEANS = golden("oltr_modules_losses"), golden("class_means")
REGIMES = ("disc/near", "disc/far", "disc/boundary")
"""Distances within the margin, beyond it, and on both sides of it."""


def centroid_inputs(regime: str, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    features, centroids = (DISC[f"{regime}/{name}"].to(dtype).requires_grad_() for name in ("features", "centroids"))
    return features, centroids, DISC[f"{regime}/labels"]


def centroid_losses(sheet: Sheet) -> None:
    for regime in REGIMES:
        inputs = centroid_inputs(regime)
        whole, attract = (disc_centroids_loss(*inputs, **options) for options in ({}, {"repel_weight": 0}))
        sheet.hold(whole, DISC, f"{regime}/loss")
        sheet.hold(disc_centroids_loss(*inputs, average=False), DISC, f"{regime}/sum_average_false")
        sheet.hold(attract[None], DISC, f"{regime}/attract/loss")
        sheet.hold(disc_centroids_loss(*inputs, repel_weight=1) - attract, DISC, f"{regime}/repel_value")


def centroid_gradients(sheet: Sheet) -> None:
    weighted: tuple[tuple[str, float, dict[str, Any]], ...] = (
        ("grad_{}_w1", 1.0, {}),
        ("grad_{}_w001", 0.01, {}),
        ("attract/grad_{}_go1p0", 1.0, {"repel_weight": 0}),
        ("attract/grad_{}_go0p01", 0.01, {"repel_weight": 0}),
        ("attract/grad_{}_go3p0", 3.0, {"repel_weight": 0}),
    )
    for regime in REGIMES:
        for name, weight, options in weighted:
            features, centroids, target = centroid_inputs(regime)
            loss = weight * disc_centroids_loss(features, centroids, target, **options)
            for what, found in zip(
                ("features", "centroids"), torch.autograd.grad(loss, (features, centroids)), strict=True
            ):
                sheet.hold(found, DISC, f"{regime}/{name.format(what)}")


def centroid_derivative(sheet: Sheet) -> None:
    for regime in REGIMES:
        features, centroids, target = centroid_inputs(regime)
        loss = disc_centroids_loss(features, centroids, target, repel_weight=0, gradient="autograd")
        sheet.hold(torch.autograd.grad(loss, centroids)[0], DISC, f"{regime}/attract/true_grad_centroids")


def centroid_single(sheet: Sheet) -> None:
    for regime in REGIMES:
        features, centroids, target = centroid_inputs(regime, torch.float32)
        loss = disc_centroids_loss(features, centroids, target)
        found = (loss, *torch.autograd.grad(loss, (features, centroids)))
        for name, value in zip(("loss", "grad_features", "grad_centroids"), found, strict=True):
            sheet.hold(value, DISC, f"{regime}/f32/{name}")


def centroid_steps(sheet: Sheet) -> None:
    centroids = DISC["disc/sgd/centroids0"].requires_grad_()
    optimizer = torch.optim.SGD([centroids], lr=0.01, momentum=0.9, weight_decay=5e-4)
    for step in range(3):
        optimizer.zero_grad()
        features, labels = (DISC[f"disc/sgd/{name}"][step] for name in ("features", "labels"))
        (0.01 * disc_centroids_loss(features, centroids, labels)).backward()
        optimizer.step()
        sheet.hold(centroids, DISC, "disc/sgd/centroids", step)


def means(sheet: Sheet) -> None:
    """Whatever the size of the batches in which the images come."""
    for case in ("centroids0", "centroids1"):
        features, labels = MEANS[f"{case}/features"], MEANS[f"{case}/labels"]
        for size in (1, 5, 64):
            batches = zip(features.split(size), labels.split(size), strict=True)
            sheet.hold(class_means(batches, len(MEANS[f"{case}/centroids"])), MEANS, f"{case}/centroids")


_CENTROIDS = "OLTR `loss/DiscCentroidsLoss.py`"
PIECES = (
    Piece(
        name="Centroid loss, its two terms and their sum",
        published=_CENTROIDS,
        ours="`disc_centroids`, `loss/DiscCentroidsLoss.py`",
        compare=centroid_losses,
    ),
    Piece(
        name="Its hand-written gradient, at loss weights 1, 0.01 and 3",
        published=f"{_CENTROIDS}: `backward`",
        ours="`disc_centroids`, `gradient: published`",
        compare=centroid_gradients,
    ),
    Piece(
        name="Its derivative",
        published="the formula",
        ours="`disc_centroids`, `gradient: autograd`",
        compare=centroid_derivative,
    ),
    Piece(
        name="Loss and gradients in single precision",
        published=_CENTROIDS,
        ours="`disc_centroids`",
        compare=centroid_single,
    ),
    Piece(
        name="Centroids after three steps of SGD",
        published=f"{_CENTROIDS}, `run_networks.py`",
        ours="`disc_centroids`",
        compare=centroid_steps,
    ),
    Piece(
        name="Class means, as which the centroids start",
        published="OLTR `run_networks.py`: `centroids_cal`",
        ours="`class_means`",
        compare=means,
        departs=("empty classes",),
    ),
)
