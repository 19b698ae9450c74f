"""Checks of the parts that are functions: losses, scorers, schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError, gradcheck

from oltr.contracts import Outputs, Progress
from oltr.plugins import LOSSES, SCHEDULES, SCORERS
from oltr.testing.subject import Subject, copied, unchanged

IMAGES = 6
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
    for case, outputs in _batches(num_classes, feature_dim, with_centroids):
        for progress in EPOCHS:
            when = f"{case}, epoch {progress.epoch} of {progress.epochs}"
            reached += _check_loss_once(subject, loss, outputs, target[: len(outputs.logits)], progress, when)
    subject.demand(reached > 0, "no gradient reaches features or logits")
    _check_gradient(subject, loss, num_classes, feature_dim, with_centroids)


def check_scorer(
    part: str | Callable[..., Any],
    *,
    options: Mapping[str, Any] | None = None,
    num_classes: int = 5,
    feature_dim: int = 8,
) -> None:
    """A scorer gives one finite number an image, whatever the batch, higher for a doubtful image than for a clear one.

    Also for one class, logits of ±1e4 and constant features. It reads centroids only if it says
    ``needs_centroids = True``.
    """
    subject = Subject(SCORERS, part, options)
    for classes in (num_classes, 1):
        scorer = subject.build(num_classes=classes, train_counts=np.arange(classes, 0, -1))
        with_centroids = bool(getattr(scorer, "needs_centroids", False))
        for case, outputs in _batches(classes, feature_dim, with_centroids):
            _check_scores(subject, scorer, outputs, f"{case}, {classes} classes")
    scorer = subject.build(num_classes=num_classes, train_counts=np.arange(num_classes, 0, -1))
    centroids = 10 * torch.nn.functional.one_hot(torch.arange(num_classes), max(feature_dim, num_classes)).float()
    features = torch.stack([centroids[0], torch.zeros_like(centroids[0])])
    logits = torch.stack([20 * torch.nn.functional.one_hot(torch.tensor(0), num_classes), torch.zeros(num_classes)])
    clear, doubtful = scorer(Outputs(features, logits, centroids if with_centroids else None)).tolist()
    subject.demand(
        doubtful > clear,
        f"higher means more unknown: {clear:g} for a clear image, {doubtful:g} for none of the classes",
    )


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


def _batches(num_classes: int, feature_dim: int, with_centroids: bool) -> Iterator[tuple[str, Outputs]]:
    """What a network may say of a batch, from usual to extreme."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(IMAGES, feature_dim, generator=generator)
    logits = torch.randn(IMAGES, num_classes, generator=generator)
    memory = torch.randn(num_classes, feature_dim, generator=generator)
    centroids = memory if with_centroids else None
    yield "random logits", Outputs(features, logits, centroids)
    yield "logits of ±1e4", Outputs(features, 1e4 * logits.sign(), centroids)
    yield "equal logits", Outputs(features, torch.zeros_like(logits), centroids)
    yield "constant features", Outputs(torch.ones_like(features), logits, centroids)
    if with_centroids:
        on_them = memory[torch.arange(IMAGES) % num_classes]
        yield "features that are centroids", Outputs(on_them, logits, memory)
        yield "centroids that are equal", Outputs(features, logits, torch.ones_like(memory))
    yield "one image", Outputs(features[:1], logits[:1], centroids)


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
    _, outputs = next(_batches(num_classes, feature_dim, with_centroids))
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


def _check_scores(subject: Subject, scorer: Any, outputs: Outputs, case: str) -> None:
    before = copied(*outputs)
    scores = subject.call(case, scorer, outputs)
    shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
    subject.demand(
        shape == (len(outputs.logits),), f"{case}: one number an image, [{len(outputs.logits)}], not {shape}"
    )
    subject.demand_finite(scores, f"{case}: its scores are")
    subject.demand(unchanged(before, *outputs), f"{case}: it writes to its input")
    alone = [
        scorer(Outputs(outputs.features[[row]], outputs.logits[[row]], outputs.centroids))
        for row in range(len(outputs.logits))
    ]
    subject.demand_close(torch.cat(alone), scores, f"{case}: an image's score depends on the rest of the batch")
