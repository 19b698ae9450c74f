"""The optimizer's one-pass form: chosen where it is there, and the same weights but for rounding."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from oltr import config
from oltr.experiment import Experiment
from oltr.run import Request, experiment_of, open_stage

Make = Callable[..., Request]


def experiment(request: Request) -> Experiment:
    return experiment_of(request, open_stage(request)[0])


def stepped(made: Experiment) -> list[torch.Tensor]:
    """The weights after some steps on gradients drawn by a seed."""
    optimizer, _ = made.optimizer()
    torch.manual_seed(3)
    for _ in range(5):
        for group in optimizer.param_groups:
            group["lr"] *= 0.9
            for parameter in group["params"]:
                parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    return [parameter.detach() for group in optimizer.param_groups for parameter in group["params"]]


@pytest.mark.parametrize(
    "chosen",
    ["{name: sgd, lr: 0.1, momentum: 0.9, weight_decay: 5e-4, %s}", "{name: adamw, lr: 0.01, weight_decay: 0.1, %s}"],
)
def test_one_pass_gives_the_weights_of_many(request_for: Make, chosen: str) -> None:
    fused, plain = (
        experiment(request_for("stage_1", f"optimizer={chosen % option}"))
        for option in ("maximize: false", "fused: false")
    )
    assert [made.optimizer()[0].defaults["fused"] for made in (fused, plain)] == [True, False]
    for ours, twin in zip(stepped(fused), stepped(plain), strict=True):
        assert (ours - twin).abs().max() <= 1e-6 * twin.abs().max()
    assert "fused" not in config.plain(fused.config)["optimizer"]


@pytest.mark.parametrize(
    "override", ["optimizer.foreach=true", "optimizer.differentiable=true", "classifier.optim={foreach: true}"]
)
def test_what_the_config_chooses_holds(request_for: Make, override: str) -> None:
    assert not experiment(request_for("stage_1", override)).optimizer()[0].defaults["fused"]


class Own(torch.optim.SGD):
    """An optimizer that has no such option."""

    def __init__(self, params: list[dict[str, object]], *, lr: float = 0.1) -> None:
        super().__init__(params, lr=lr)


def test_an_optimizer_without_it_is_left_alone(request_for: Make) -> None:
    made = experiment(request_for("stage_1", f"optimizer={{name: '{__name__}:Own', lr: 0.1}}"))
    assert not made.optimizer()[0].defaults["fused"]
