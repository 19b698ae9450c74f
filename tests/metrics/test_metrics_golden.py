"""Parity with the published evaluation code. Where that divides by zero or gives NaN, ours is None, on purpose."""

from pathlib import Path

import numpy as np
import pytest
import torch

from oltr.contracts import OPEN, Outputs
from oltr.metrics.closed import closed_set
from oltr.metrics.open_set import at_threshold
from oltr.metrics.shots import shot_rule
from oltr.metrics.thresholds import rejected
from oltr.scorers.msp import MaximumSoftmax
from oltr.thresholds.fixed import Fixed
from tests.thresholds.held_out import held_out

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "metrics.npz")
CASES = sorted({key.split("/")[0] for key in GOLDEN.files})
PIPES = [case for case in CASES if f"{case}/logits" in GOLDEN.files]


def arrays(case):
    return tuple(GOLDEN[f"{case}/{name}"] for name in ("preds", "labels", "train_class_counts"))


def same(value, expected, *, undefined=np.nan):
    """Equal to the published value, and None exactly where that is ``undefined``."""
    if np.array_equal(expected, undefined, equal_nan=True):
        return value is None
    return value == pytest.approx(float(expected), rel=1e-10, abs=1e-12)  # they add 1e-12 to a denominator


@pytest.mark.parametrize("case", CASES)
def test_metrics_after_rejection_match_the_published_code(case):
    predictions, labels, counts = arrays(case)
    ours = at_threshold(predictions, labels, predictions == OPEN, shot_rule().groups(counts))
    for name, theirs in (("accuracy", "mic_acc"), ("open_set_accuracy", "openset_acc")):
        assert same(ours[name], GOLDEN[f"{case}/{theirs}"]), name
    for name, theirs in (("f_oltr2020", "F_open"), ("f_oltr2019", "cb/F_open"), ("f1_macro_k1", "F_closed")):
        assert same(ours[name]["overall"], GOLDEN[f"{case}/{theirs}"]), name


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("rule", "theirs", "undefined"),
    [
        (shot_rule(), "shot_acc", np.nan),
        (shot_rule(many=50, few=10), "shot_acc_50_10", np.nan),
        (shot_rule("strict"), "cb/shot_acc", 0.0),  # they say 0 of an empty group, and so of an all-wrong one
    ],
)
def test_shot_accuracies_match_the_published_code(case, rule, theirs, undefined):
    predictions, labels, counts = arrays(case)
    ours = at_threshold(predictions, labels, predictions == OPEN, rule.groups(counts))
    for group, expected in zip(("many", "medium", "few"), GOLDEN[f"{case}/{theirs}"], strict=True):
        assert same(ours[group], expected, undefined=undefined) or (ours[group] == 0 and expected == 0), group


@pytest.mark.parametrize("case", [case for case in CASES if all((array != OPEN).all() for array in arrays(case))])
def test_closed_set_matches_the_published_code(case):
    predictions, labels, counts = arrays(case)
    ours = closed_set(np.eye(len(counts))[predictions], labels, shot_rule().groups(counts))
    assert same(ours["accuracy"], GOLDEN[f"{case}/mic_acc"])
    assert same(ours["macro_f1"], GOLDEN[f"{case}/F_closed"])
    for group, expected in zip(("many", "medium", "few"), GOLDEN[f"{case}/shot_acc"], strict=True):
        assert same(ours[group], expected), group


@pytest.mark.parametrize("case", PIPES)
def test_msp_and_a_fixed_threshold_reject_what_the_original_rejects(case):
    logits = GOLDEN[f"{case}/logits"]
    scores = MaximumSoftmax()(Outputs(torch.empty(len(logits), 0), torch.from_numpy(logits))).numpy()
    threshold = Fixed(scorer="msp", confidence=float(GOLDEN[f"{case}/theta"]))(held_out([]))
    predictions = np.where(rejected(scores, threshold), OPEN, logits.argmax(1))
    np.testing.assert_array_equal(predictions, GOLDEN[f"{case}/preds"])
