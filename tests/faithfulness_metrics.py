"""The published metrics beside ours, from predictions, and from logits and a threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from oltr.contracts import OPEN, Outputs
from oltr.metrics.closed import closed_set
from oltr.metrics.open_set import at_threshold
from oltr.metrics.shots import ShotRule, shot_rule
from oltr.metrics.thresholds import rejected
from oltr.scorers.msp import MaximumSoftmax
from oltr.thresholds.fixed import Fixed
from tests.faithfulness_sheet import Piece, Sheet, golden
from tests.thresholds.held_out import held_out

METRICS = golden("metrics")
CASES = METRICS.cases("*/preds")
CLOSED = [case for case in CASES if all((METRICS[f"{case}/{name}"] != OPEN).all() for name in ("preds", "labels"))]
GROUPS = ("many", "medium", "few")
Array = NDArray[Any]


def inputs(case: str) -> tuple[Array, Array, Array]:
    predictions, labels, counts = (
        METRICS.array(f"{case}/{name}") for name in ("preds", "labels", "train_class_counts")
    )
    return predictions, labels, counts


def measured(case: str, rule: ShotRule | None = None) -> dict[str, Any]:
    """Ours, of predictions in which a rejected image is OPEN."""
    predictions, labels, counts = inputs(case)
    return at_threshold(predictions, labels, predictions == OPEN, (rule or shot_rule()).groups(counts))


def hold(sheet: Sheet, found: Any, key: str) -> None:
    """Compare, None standing for NaN: it must be where the published number is NaN."""
    ours = np.array([np.nan if value is None else value for value in np.atleast_1d(found)]).reshape(np.shape(found))
    assert np.array_equal(np.isnan(ours), np.isnan(METRICS.array(key))), key
    sheet.hold(ours, METRICS, key)


def accuracy(sheet: Sheet) -> None:
    for case in CASES:
        hold(sheet, measured(case)["accuracy"], f"{case}/mic_acc")
    for case in CLOSED:
        predictions, labels, counts = inputs(case)
        found = closed_set(np.eye(len(counts))[predictions], labels, shot_rule().groups(counts))
        hold(sheet, found["accuracy"], f"{case}/mic_acc")
        hold(sheet, found["macro_f1"], f"{case}/F_closed")
        hold(sheet, [found[group] for group in GROUPS], f"{case}/shot_acc")


def shots(sheet: Sheet) -> None:
    for case in CASES:
        for rule, name in ((shot_rule(), "shot_acc"), (shot_rule(many=50, few=10), "shot_acc_50_10")):
            found = measured(case, rule)
            hold(sheet, [found[group] for group in GROUPS], f"{case}/{name}")


def strict_shots(sheet: Sheet) -> None:
    for case in CASES:
        measures = measured(case, shot_rule("strict"))
        found = [measures[group] for group in GROUPS]
        there = np.array([value is not None for value in found])
        assert not METRICS.array(f"{case}/cb/shot_acc")[~there].any(), "0 of an empty group"
        sheet.hold([value for value in found if value is not None], METRICS, f"{case}/cb/shot_acc", there)


def open_accuracy(sheet: Sheet) -> None:
    for case in CASES:
        hold(sheet, measured(case)["open_set_accuracy"], f"{case}/openset_acc")


def f_measures(sheet: Sheet) -> None:
    for case in CASES:
        found = measured(case)
        for name, theirs in (("f_oltr2020", "F_open"), ("f_oltr2019", "cb/F_open"), ("f1_macro_k1", "F_closed")):
            hold(sheet, found[name]["overall"], f"{case}/{theirs}")


def rejection(sheet: Sheet) -> None:
    for case in CASES:
        if f"{case}/logits" in METRICS:
            logits = METRICS[f"{case}/logits"]
            scores = MaximumSoftmax()(Outputs(torch.empty(len(logits), 0), logits)).numpy()
            threshold = Fixed(scorer="msp", confidence=METRICS[f"{case}/theta"].item())(held_out([]))
            unknown = rejected(scores, threshold)
            sheet.hold(np.where(unknown, OPEN, logits.argmax(1)), METRICS, f"{case}/preds")


_UTILS = "OLTR `utils.py`"
PIECES = (
    Piece(
        name="Largest probability below a threshold is rejected",
        published="OLTR `run_networks.py`: `eval`",
        ours="`msp`, `fixed`",
        compare=rejection,
    ),
    Piece(
        name="Micro accuracy, with the rest of the closed-set evaluation",
        published=f"{_UTILS}: `mic_acc_cal`, `F_measure`, `shot_acc`",
        ours="`closed_set`, `at_threshold`",
        compare=accuracy,
        departs=("empty groups",),
    ),
    Piece(
        name="Shot accuracy, bounds 100 and 20, and 50 and 10",
        published=f"{_UTILS}: `shot_acc`",
        ours="`many`, `medium`, `few` by the rule `oltr`",
        compare=shots,
        departs=("empty groups",),
    ),
    Piece(
        name="Shot accuracy, over 100 and under 20",
        published="classifier-balancing `utils.py`: `shot_acc`",
        ours="the same by the rule `strict`",
        compare=strict_shots,
        departs=("empty groups",),
    ),
    Piece(
        name="Share of open images that is rejected",
        published=f"{_UTILS}: `mic_acc_cal`",
        ours="`open_set_accuracy`",
        compare=open_accuracy,
        departs=("empty groups",),
    ),
    Piece(
        name="Open-set F-measure in both definitions, and the closed one",
        published=f"{_UTILS} and classifier-balancing: `F_measure`",
        ours="`f_oltr2020`, `f_oltr2019`, `f1_macro_k1`",
        compare=f_measures,
        departs=("F of nothing", "F-measures"),
    ),
)
