"""The cyclical focal loss."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.rows import Case, Row
from oltr.losses.cyclical_focal import cyclical_focal_loss

SMOOTHING, ETA, GAMMA_POS, GAMMA_NEG, GAMMA_HC = 0.1, 0.5, 1.0, 4.0, 2.0


def cyclical_focal(folder: Path, *, batch: int, classes: int) -> Case:
    logits = (3 * torch.randn(batch, classes)).requires_grad_()
    target = torch.randint(classes, (batch,))

    def graded(loss: Tensor) -> list[Tensor]:
        return [loss.detach(), *torch.autograd.grad(loss, (logits,))]

    def ours() -> list[Tensor]:
        return graded(_mean_cyclical_focal(logits, target))

    def twin() -> list[Tensor]:
        log_p = logits.log_softmax(dim=1)
        p, hot = log_p.exp(), functional.one_hot(target, classes).to(log_p)
        smoothed = hot * (1 - SMOOTHING) + SMOOTHING / classes
        focal = hot * (1 - p) ** GAMMA_POS + (1 - hot) * p**GAMMA_NEG
        confident = hot * (1 + p) ** GAMMA_HC + (1 - hot)
        return graded(-(smoothed * log_p * ((1 - ETA) * focal + ETA * confident)).sum(dim=1).mean())

    def yardstick() -> list[Tensor]:
        return graded(functional.cross_entropy(logits, target, label_smoothing=SMOOTHING))

    return Case(ours=ours, twin=twin, yardstick=yardstick, tolerance=1e-4)


def compiled_focal(folder: Path, *, batch: int, classes: int) -> Case:
    """What compilation makes of the same loss, beside what it makes of torch's."""
    logits = (3 * torch.randn(batch, classes)).requires_grad_()
    target = torch.randint(classes, (batch,))
    compiled = torch.compile(_mean_cyclical_focal)
    smoothed = torch.compile(functools.partial(functional.cross_entropy, label_smoothing=SMOOTHING))

    def graded(loss_of: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        loss = loss_of(logits, target)
        return [loss.detach(), *torch.autograd.grad(loss, (logits,))]

    return Case(
        ours=lambda: graded(compiled),
        twin=lambda: graded(_mean_cyclical_focal),
        yardstick=lambda: graded(smoothed),
        tolerance=1e-5,
    )


def _mean_cyclical_focal(logits: Tensor, target: Tensor) -> Tensor:
    gammas = {"gamma_pos": GAMMA_POS, "gamma_neg": GAMMA_NEG, "gamma_hc": GAMMA_HC}
    return cyclical_focal_loss(logits, target, eta=ETA, label_smoothing=SMOOTHING, **gammas).mean()


COMPILED = Row(
    name="cyclical_focal_compiled",
    what="the same compiled, forward and backward: batch {batch:,}, {classes:,} classes",
    twin="the same as it is, not compiled",
    make=compiled_focal,
    full={"batch": 1024, "classes": 1000},
    tiny={"batch": 4, "classes": 7},
    yardstick="torch's cross_entropy with label smoothing, compiled",
)

ROWS = (
    *(
        Row(
            name=f"cyclical_focal_{batch}x{classes}",
            what="cyclical focal loss, forward and backward: batch {batch:,}, {classes:,} classes",
            twin="the formula with a one-hot matrix, differentiated by autograd",
            make=cyclical_focal,
            full={"batch": batch, "classes": classes},
            tiny={"batch": 4, "classes": 7},
            yardstick="torch's cross_entropy with label smoothing",
            memory=batch > 128,
        )
        for batch, classes in ((128, 1000), (1024, 1000))
    ),
    *([COMPILED] if shutil.which("g++") or shutil.which("clang") else []),  # torch.compile needs one of them
)
