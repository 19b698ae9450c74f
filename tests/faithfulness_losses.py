"""The published losses on logits beside ours: values and gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from oltr.contracts import Outputs, Progress
from oltr.losses.cross_entropy import CrossEntropy, effective_number_weights
from oltr.losses.cyclical_focal import CyclicalFocalLoss, asymmetric_focal_loss, cyclical_focal_loss, focal_loss
from oltr.published.schedules import CycleFromOne, cycle
from tests.faithfulness_sheet import Piece, Sheet, beside, golden

CFL, ETA = golden("cfl_losses"), golden("cfl_schedules")
CASES = [f"cyc{number}" for number in range(11)]
PerSample = Callable[[Tensor, Tensor], Tensor]


def hold_row(sheet: Sheet, prefix: str, row: int, loss_of: PerSample, dtype: torch.dtype = torch.float64) -> None:
    """Compare the losses of a case and both of its gradients, those that are in the golden file."""
    logits = CFL["logits"].to(dtype).requires_grad_()
    losses = loss_of(logits, CFL["targets"])
    found = {
        "loss_none": losses,
        "loss_mean": losses.mean(),
        "grad_mean": torch.autograd.grad(losses.mean(), logits, retain_graph=True)[0],
        "grad_none": torch.autograd.grad(losses, logits, CFL["cotangent"].to(dtype))[0],
    }
    for name, value in found.items():
        if f"{prefix}/{name}" in CFL:
            sheet.hold(value, CFL, f"{prefix}/{name}", row)


def at_published_eta(case: str, row: int) -> PerSample:
    pos, neg, confident, smoothing, epochs, factor = CFL[f"{case}/cfg"].tolist()
    eta = cycle(int(CFL[f"{case}/epoch"][row]), epochs=int(epochs), factor=factor)
    options = {"gamma_pos": pos, "gamma_neg": neg, "gamma_hc": confident, "label_smoothing": smoothing}
    return lambda logits, target: cyclical_focal_loss(logits, target, eta=eta, **options)


def softmax(sheet: Sheet) -> None:
    """The fork's loss at gammas 0 and no smoothing is the plain one, whatever eta."""
    door = beside("loss_doors/test_doors.py").door("SoftmaxLoss").create_loss()
    logits = CFL["logits"].requires_grad_()
    loss = door(logits, CFL["targets"])
    (gradient,) = torch.autograd.grad(loss, logits)
    for row in range(len(CFL["cyc7/epoch"])):
        sheet.hold(loss, CFL, "cyc7/loss_mean", row)
        sheet.hold(gradient, CFL, "cyc7/grad_mean", row)


def asymmetric(sheet: Sheet) -> None:
    for row, (pos, neg, smoothing) in enumerate(CFL["asl/cfg"].tolist()):
        options = {"gamma_pos": pos, "gamma_neg": neg, "label_smoothing": smoothing}
        hold_row(sheet, "asl", row, lambda x, y, options=options: asymmetric_focal_loss(x, y, **options))


def focal(sheet: Sheet) -> None:
    for row, (gamma, smoothing) in enumerate(CFL["focal/cfg"].tolist()):
        hold_row(sheet, "focal", row, lambda x, y, g=gamma, s=smoothing: focal_loss(x, y, gamma=g, label_smoothing=s))


def cyclical(sheet: Sheet) -> None:
    for case in CASES:
        for row in range(len(CFL[f"{case}/epoch"])):
            hold_row(sheet, case, row, at_published_eta(case, row))


def cyclical_single(sheet: Sheet) -> None:
    for row in range(len(CFL["cyc1/epoch"])):
        hold_row(sheet, "f32/cyc1", row, at_published_eta("cyc1", row), torch.float32)


def cyclical_by_epoch(sheet: Sheet) -> None:
    """The door by its own epochs, and the part as a Python config makes it, whose epoch the run counts from 0."""
    doors = beside("loss_doors/test_doors.py")
    for case in doors.ALWAYS_SMOOTHED:
        pos, neg, confident, _, epochs, factor = CFL[f"{case}/cfg"].tolist()
        door = doors.door("asl_focal_loss").create_loss(pos, neg, confident, int(epochs), factor)
        eta = CycleFromOne(epochs=int(epochs), factor=factor)
        part = CyclicalFocalLoss(gamma_pos=pos, gamma_neg=neg, gamma_hc=confident, label_smoothing=0.1, eta=eta)
        for row, epoch in enumerate(CFL[f"{case}/epoch"].tolist()):
            logits = CFL["logits"].requires_grad_()
            losses = [door(logits, CFL["targets"], epoch)]
            if epoch > 0:
                now = Progress(epoch=epoch - 1, epochs=2 * int(epochs))
                losses.append(part(Outputs(logits, logits), CFL["targets"], now))
            for loss in losses:
                sheet.hold(loss, CFL, f"{case}/loss_mean", row)
                sheet.hold(torch.autograd.grad(loss, logits)[0], CFL, f"{case}/grad_mean", row)


def hardened(sheet: Sheet) -> None:
    pos, neg, confident, _, epochs, factor = CFL["cyc2/cfg"].tolist()
    door = beside("loss_doors/test_doors.py").door("asl_focal_loss")
    loss = door.create_loss(pos, neg, confident, int(epochs), factor)
    found = torch.stack([loss(CFL["logits"][[row]], CFL["soft/targets"][[row]], 3) for row in range(7)])
    sheet.hold(found, CFL, "soft/loss_none")


def default_cycle(sheet: Sheet) -> None:
    """The default part, of the golden epochs that a stage has and at which the published eta is within [0, 1]."""
    for case in CASES:
        pos, neg, confident, smoothing, epochs, factor = CFL[f"{case}/cfg"].tolist()
        options = {"gamma_pos": pos, "gamma_neg": neg, "gamma_hc": confident, "label_smoothing": smoothing}
        part = CyclicalFocalLoss(**options, factor=factor)
        for row, epoch in enumerate(CFL[f"{case}/epoch"].tolist()):
            if epoch < epochs and CFL[f"{case}/eta"][row] >= 0:
                now = Progress(epoch=epoch, epochs=int(epochs))
                found = part(Outputs(CFL["logits"], CFL["logits"]), CFL["targets"], now)
                sheet.hold(found, CFL, f"{case}/loss_mean", row)


def extreme(sheet: Sheet) -> None:
    """Against exact values, and against the published code where that is finite."""
    options_of = beside("losses/test_cyclical_focal.py").extreme_options
    for case in CFL.cases("extreme/*/exact_loss"):
        for name, dtype in (("f64", torch.float64), ("f32", torch.float32)):
            logits = CFL["extreme/logits"].to(dtype).requires_grad_()
            losses = cyclical_focal_loss(logits, CFL["extreme/targets"], **options_of(case.partition("/")[2]))
            (gradient,) = torch.autograd.grad(losses.sum(), logits)
            assert bool(gradient.isfinite().all())
            for what, found, exact in (("loss", losses, "exact_loss"), ("grad", gradient, "exact_grad")):
                near = CFL.tolerance(f"{case}/{name}/{what}_none")
                sheet.compare(found, CFL.array(f"{case}/{exact}"), near, f"{case}/{exact}")
                sheet.hold(found, CFL, f"{case}/{name}/{what}_none")


def eta_of_both(sheet: Sheet) -> None:
    """At every epoch from 0; of the OLTR copy those at which it gives a number, and when it raises."""
    for case in ETA.cases("eta*/timm"):
        epochs, factor = ETA[f"{case}/cfg"].tolist()
        found = np.array([cycle(epoch, epochs=int(epochs), factor=factor) for epoch in range(len(ETA[f"{case}/timm"]))])
        sheet.hold(found, ETA, f"{case}/timm")
        defined = ETA.array(f"{case}/oltr_status") == 0
        sheet.hold(found[defined], ETA, f"{case}/oltr", defined)
        raises = (factor == 1) & (np.arange(len(found)) >= epochs)
        sheet.hold(raises.astype(np.int64), ETA, f"{case}/oltr_status")
    for case in CASES:
        *_, epochs, factor = CFL[f"{case}/cfg"].tolist()
        numbers = CFL[f"{case}/epoch"].tolist()
        sheet.hold([cycle(epoch, epochs=int(epochs), factor=factor) for epoch in numbers], CFL, f"{case}/eta")
        raises = [factor == 1 and epoch >= epochs for epoch in numbers]
        sheet.hold(np.array(raises, dtype=np.int64), CFL, f"{case}/oltr/status")


def balanced(sheet: Sheet) -> None:
    numbers = golden("class_weights")
    counts = numbers.array("counts")
    for row, beta in enumerate(numbers.array("cb/betas")):
        sheet.hold(effective_number_weights(counts, beta=beta), numbers, "cb/weights", row)
    logits = numbers["logits"].requires_grad_()
    part = CrossEntropy(class_weights="balanced", beta=0.9999, train_counts=counts)
    loss = part(Outputs(logits, logits), numbers["targets"], Progress(epoch=0, epochs=1))
    sheet.hold(loss, numbers, "cb_ce/loss")
    sheet.hold(torch.autograd.grad(loss, logits)[0], numbers, "cb_ce/grad")


_FOCAL = "CFL `loss/asl_focal_loss.py`"
PIECES = (
    Piece(
        name="Cross-entropy, value and gradient",
        published=f"OLTR `loss/SoftmaxLoss.py`, by {_FOCAL} with gammas 0",
        ours="`cross_entropy`, `loss/SoftmaxLoss.py`",
        compare=softmax,
    ),
    Piece(
        name="Asymmetric focal loss, value and gradient",
        published=f"{_FOCAL}: `ASLSingleLabel`",
        ours="`cyclical_focal` with `eta: 0`",
        compare=asymmetric,
    ),
    Piece(
        name="Focal loss, value and gradient",
        published=f"{_FOCAL}: `ASL_FocalLoss`",
        ours="`cyclical_focal` with `eta: 0`, equal gammas",
        compare=focal,
    ),
    Piece(
        name="Cyclical focal loss at the published η, value and gradient",
        published=f"{_FOCAL}: `Cyclical_FocalLoss`",
        ours="`cyclical_focal`",
        compare=cyclical,
        departs=("factor 1",),
    ),
    Piece(
        name="The same in single precision",
        published=f"{_FOCAL}: `Cyclical_FocalLoss`",
        ours="`cyclical_focal`",
        compare=cyclical_single,
    ),
    Piece(
        name="Cyclical focal loss by the epoch, as its trainer calls it",
        published=f"{_FOCAL}: `create_loss`",
        ours="`loss/asl_focal_loss.py`; Python configs",
        compare=cyclical_by_epoch,
    ),
    Piece(
        name="The same by the epoch, in the default part",
        published=f"{_FOCAL}, where its η is within [0, 1]",
        ours="`cyclical_focal`",
        compare=default_cycle,
        departs=("eta",),
    ),
    Piece(
        name="Soft targets, hardened",
        published=f"{_FOCAL}",
        ours="`loss/asl_focal_loss.py`",
        compare=hardened,
        departs=("soft targets",),
    ),
    Piece(
        name="Logits of ±50 and ±10⁴, value and gradient",
        published=f"{_FOCAL}, and exact values of 60 digits",
        ours="`cyclical_focal`",
        compare=extreme,
        departs=("fractional gammas",),
    ),
    Piece(
        name="η at every epoch, and where it is not defined",
        published="CFL, its OLTR copy and its TIMM copy",
        ours="Python configs, `loss/asl_focal_loss.py`",
        compare=eta_of_both,
        departs=("factor 1",),
    ),
    Piece(
        name="Class-balanced weights, and the loss with them",
        published="LDAM-DRW `cifar_train.py`",
        ours="`cross_entropy` with `class_weights: balanced`",
        compare=balanced,
    ),
)
