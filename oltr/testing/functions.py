"""Checks of the parts that are functions: losses, schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError, gradcheck

from oltr.contracts import Outputs, Progress
from oltr.plugins import LOSSES, SCHEDULES
from oltr.testing.batches import IMAGES, batches
from oltr.testing.subject import Subject, copied, unchanged

EPOCHS = tuple(Progress(epoch=epoch, epochs=epochs) for epochs in (1, 2, 5) for epoch in range(epochs))


def check_loss(
    part: str | Callable[..., Any],
    *,
    options: Mapping[str, Any] | None = None,
    num_classes: int = 5,
    feature_dim: int = 8,
) -> None:
    """A loss is a finite scalar with finite, true gradients, also for logits of ±1e4, and blind to the batch's order.

    Its gradient for features and logits is held against differences in float64; for centroids a rule of its own is
    allowed. It reads centroids only if it says ``needs_memory = True``.
    """
    subject = Subject(LOSSES, part, options)
    counts = np.arange(num_classes, 0, -1)
    loss = subject.build(feature_dim=feature_dim, num_classes=num_classes, train_counts=counts)
    with_centroids = bool(getattr(loss, "needs_memory", False))
    target = torch.arange(IMAGES) % num_classes
    reached = 0.0
    for case, outputs in batches(num_classes, feature_dim, with_centroids):
        for progress in EPOCHS:
            when = f"{case}, epoch {progress.epoch} of {progress.epochs}"
            reached += _check_loss_once(subject, loss, outputs, target[: len(outputs.logits)], progress, when)
    subject.demand(reached > 0, "no gradient reaches features or logits")
    _check_gradient(subject, loss, num_classes, feature_dim, with_centroids)


def check_schedule(part: str | Callable[..., Any], *, options: Mapping[str, Any] | None = None) -> None:
    """A schedule is a finite number in every epoch of any number of epochs, and a pure function of progress."""
    subject = Subject(SCHEDULES, part, options)
    schedule = subject.build()
    moments = [Progress(epoch=epoch, epochs=epochs) for epochs in (1, 2, 3, 10, 90) for epoch in range(epochs)]
    first = []
    for moment in moments:
        when = f"epoch {moment.epoch} of {moment.epochs}"
        value = subject.call(when, schedule, moment)
        subject.demand(isinstance(value, int | float), f"{when}: gives a {type(value).__name__}, not a number")
        subject.demand(math.isfinite(value), f"{when}: {value} is not finite")
        first.append(value)
    again = [schedule(moment) for moment in reversed(moments)][::-1]
    subject.demand(first == again, "its value depends on what was asked before, not on progress alone")
    subject.demand([subject.build()(moment) for moment in moments] == first, "two of the same options differ")


def _check_loss_once(
    subject: Subject, loss: Any, outputs: Outputs, target: Tensor, progress: Progress, when: str
) -> float:
    """Value and gradients for one batch; returns how much gradient there is."""
    leaves = Outputs(*(None if item is None else item.clone().requires_grad_() for item in outputs))  # type: ignore[arg-type]
    before = copied(*leaves, target)
    value = subject.call(when, loss, leaves, target, progress)
    subject.demand(isinstance(value, Tensor) and value.dim() == 0, f"{when}: a loss is a scalar tensor")
    subject.demand_finite(value, f"{when}: its value is")
    subject.demand(value.requires_grad, f"{when}: nothing to differentiate: it is cut off from the network")
    subject.demand(unchanged(before, *leaves, target), f"{when}: it writes to its input")
    subject.call(when, value.backward)
    gradients = [leaf.grad for leaf in leaves if leaf is not None and leaf.grad is not None]
    for gradient in gradients:
        subject.demand_finite(gradient, f"{when}: its gradient is")
    order = torch.arange(len(target)).flip(0)
    turned = Outputs(outputs.features[order], outputs.logits[order], outputs.centroids)
    subject.demand_close(
        loss(turned, target[order], progress), value.detach(), f"{when}: it depends on the order of the batch"
    )
    subject.demand_close(loss(leaves, target, progress), value, f"{when}: the same batch has another loss", tolerance=0)
    return float(sum(gradient.abs().sum() for gradient in gradients))


def _check_gradient(subject: Subject, loss: Any, num_classes: int, feature_dim: int, with_centroids: bool) -> None:
    _, outputs = next(batches(num_classes, feature_dim, with_centroids))
    leaves = (outputs.features.double().requires_grad_(), outputs.logits.double().requires_grad_())
    centroids = None if outputs.centroids is None else outputs.centroids.double()
    target = torch.arange(IMAGES) % num_classes
    for progress in EPOCHS:
        where = f"epoch {progress.epoch} of {progress.epochs}"
        try:
            subject.call(f"float64, {where}", loss, Outputs(*leaves, centroids), target, progress)
            gradcheck(
                lambda features, logits, now=progress: loss(Outputs(features, logits, centroids), target, now), leaves
            )
        except GradcheckError:
            fault = f"{where}: its gradient is not its derivative, by differences in float64"
            raise AssertionError(f"{subject.place}: {fault}") from None
