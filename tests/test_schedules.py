"""Schedules against the published ones, epoch by epoch, and by their properties.

Published schedules that none of ours expresses, so left out: the triangle with 15 epochs of climb and its momentum
(``custom``), a constant warm-up (``WarmupMultiStepLR_constant``), and anything past the last epoch: the cosine's next
three epochs, and a temperature that ignores the cooldown.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oltr import schedules
from oltr.contracts import Progress, Scalar, Schedule, UserError
from oltr.schedules import Constant, Cosine, Cyclical, Linear, MultiStep, Restarts, Step, WarmUp

FOLDER = Path(__file__).parent / "golden"
LR, CFL = dict(np.load(FOLDER / "lr_schedules.npz")), dict(np.load(FOLDER / "cfl_schedules.npz"))


def course(schedule: Schedule, epochs: int) -> list[float]:
    return [schedule(Progress(epoch=epoch, epochs=epochs)) for epoch in range(epochs)]


def check(schedule: Schedule, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(course(schedule, len(wanted)), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", [f"oltr_step{k}" for k in range(5)])
def test_step_matches_oltr(case: str) -> None:
    lr, every, factor, _ = LR[f"{case}/cfg"]
    check(Step(value=lr, every=int(every), factor=factor), LR[f"{case}/lr"])


@pytest.mark.parametrize("case", range(3))
def test_step_and_multistep_match_mic(case: int) -> None:
    lr, epochs = LR[f"mic_step{case}/cfg"]
    check(Step(value=lr, every=int(epochs) // 4), LR[f"mic_step{case}/lr"])
    whole = (int(epochs) // 2, int(epochs) * 3 // 4)
    check(MultiStep(value=lr, milestones=whole), LR[f"mic_multistep{case}/lr"])
    check(MultiStep(value=lr, milestones=(0.5, 0.75)), LR[f"mic_multistep{case}/lr"])


@pytest.mark.parametrize("case", [f"mic_cos{k}" for k in range(5)])
def test_cosine_with_warm_start_matches_mic(case: str) -> None:
    lr, _, warmup = LR[f"{case}/cfg"]
    check(Cosine(value=lr, warmup=int(warmup)), LR[f"{case}/lr"])


@pytest.mark.parametrize("case", [f"pprp{k}" for k in range(3)])
def test_the_published_schedules_that_ours_express(case: str) -> None:
    lr, epochs, *milestones, factor = LR[f"{case}/cfg"]
    steps = MultiStep(value=lr, milestones=milestones, factor=factor)
    check(steps, LR[f"{case}/multistep/lr"])
    check(WarmUp(epochs=8, start_factor=1 / 3, after=steps), LR[f"{case}/WarmupMultiStepLR_linear/lr"])
    halves = MultiStep(value=lr, milestones=milestones, factor=0.5)
    check(WarmUp(epochs=int(epochs) // 10, start_factor=1 / 3, after=halves), LR[f"{case}/warmup/lr"])
    check(Cosine(value=lr), LR[f"{case}/cosine/lr"])
    check(Restarts(value=lr, end=1e-4, period=10, growth=2), LR[f"{case}/warmcosine/lr"])
    check(MultiStep(value=lr, milestones=(0.3, 0.6, 0.8), factor=0.2), LR[f"{case}/CustomScheduler/lr"])


@pytest.mark.parametrize("case", [f"hyp{k}" for k in range(3)])
def test_cyclical_matches_cfl(case: str) -> None:
    epochs, factor, *bounds = CFL[f"{case}/cfg"]
    for scalar, low, high in zip(("weight_decay", "temperature", "clip"), bounds[::2], bounds[1::2], strict=True):
        schedule = Cyclical(low=low, high=high, factor=factor)
        found = course(schedule, int(epochs))
        np.testing.assert_allclose(found, CFL[f"{case}/{scalar}"], rtol=1e-12, atol=1e-16)
        if scalar == "weight_decay":
            found = course(schedule, int(epochs) + 10)
            np.testing.assert_allclose(found, CFL[f"{case}/cooldown/weight_decay"], rtol=1e-12, atol=1e-16)


def test_constant_and_linear() -> None:
    assert course(Constant(value=3), 3) == [3.0, 3.0, 3.0]
    assert course(Linear(start=1, end=3), 5) == [1.0, 1.5, 2.0, 2.5, 3.0]
    assert course(Linear(start=1, end=3), 1) == [1.0]


def test_milestones_are_epochs_or_fractions_in_any_order() -> None:
    assert course(MultiStep(value=8, milestones=(3, 1), factor=0.5), 5) == [8, 4, 4, 2, 2]
    assert course(MultiStep(value=8, milestones=(0.4, 3), factor=0.5), 5) == [8, 8, 4, 2, 2]
    assert course(MultiStep(value=1, milestones=(0.29,), factor=0), 100).index(0) == 29


def test_warm_up_wraps_a_number_or_a_schedule_that_it_does_not_shift() -> None:
    assert course(WarmUp(epochs=2, start_factor=0.5, after=4.0), 4) == [2, 3, 4, 4]
    stepped = Step(value=4, every=2, factor=0.5)
    assert course(WarmUp(epochs=2, start_factor=0.5, after=stepped), 4) == [2, 3, 2, 2]
    assert course(WarmUp(epochs=9, start_factor=0, after=9), 3) == [0, 1, 2]


def test_restarts_begin_anew_at_each_period() -> None:
    found = course(Restarts(value=2, end=1, period=2, growth=1.5), 8)
    assert [epoch for epoch, value in enumerate(found) if value == 2] == [0, 2, 5]
    assert found[1] == pytest.approx(1.5)
    assert found[3] == pytest.approx(1.75)


@given(st.floats(0, 10), st.floats(0, 10), st.integers(1, 60), st.integers(0, 70), st.integers(1, 9), st.floats(1, 3))
def test_no_schedule_leaves_its_bounds(
    one: float, other: float, epochs: int, warmup: int, period: int, growth: float
) -> None:
    low, high = min(one, other), max(one, other)
    for schedule in (
        Linear(start=low, end=high),
        Cosine(value=high, end=low),
        Restarts(value=high, end=low, period=period, growth=growth),
        Cyclical(low=low, high=high, factor=growth),
    ):
        assert all(low - 1e-9 <= value <= high + 1e-9 for value in course(schedule, epochs))
    warmed = course(Cosine(value=high, warmup=warmup), epochs)
    assert all(0 <= value <= high + 1e-9 for value in warmed)
    assert np.all(np.diff(warmed[: warmup + 1]) >= 0)


@pytest.mark.parametrize(
    ("part", "options", "said"),
    [
        (Step, {"value": 1, "every": 0}, "step.every is at least 1, not 0"),
        (MultiStep, {"value": 1, "milestones": [30, 10.5]}, "not 10.5"),
        (MultiStep, {"value": 1, "milestones": [0]}, "whole epoch or a fraction between 0 and 1, not 0"),
        (Cosine, {"value": 1, "warmup": -1}, "cosine.warmup is at least 0, not -1"),
        (WarmUp, {"after": 1, "epochs": 0}, "warmup.epochs is at least 1, not 0"),
        (Restarts, {"value": 1, "period": 0}, "restarts.period is at least 1, not 0"),
        (Restarts, {"value": 1, "period": 5, "growth": 0.5}, "restarts.growth is at least 1, not 0.5"),
        (Cyclical, {"low": 0, "high": 1, "factor": 0.5}, "cyclical.factor is at least 1, not 0.5"),
    ],
)
def test_mistakes_are_named(part: type, options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        part(**options)


def test_options_are_keyword_only_and_their_types_resolve() -> None:
    hints = get_type_hints(WarmUp.__init__)
    assert hints["epochs"] is int
    assert hints["after"] == Scalar
    assert get_type_hints(schedules.MultiStep.__init__)["milestones"]
    with pytest.raises(TypeError):
        Constant(1.0)
