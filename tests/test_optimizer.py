"""The optimizer's one-pass form: chosen where it is there, and the same weights but for rounding."""

from __future__ import annotations

import copy
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
    return stepped_by(made.optimizer()[0], seed=3)


def stepped_by(optimizer: torch.optim.Optimizer, *, seed: int) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    for _ in range(5):
        for group in optimizer.param_groups:
            group["lr"] *= 0.9
            for parameter in group["params"]:
                parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape))
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


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("saved", [torch.channels_last, torch.contiguous_format])
def test_a_state_of_another_layout_meets_its_own_weights(
    request_for: Make, name: str, saved: torch.memory_format
) -> None:
    """As where a run that began on a GPU, whose weights are channels-last, goes on on a CPU."""
    words = ("stage_1", f"compute.channels_last={str(saved == torch.contiguous_format).lower()}")
    chosen = f"optimizer={{name: {name}, lr: 0.01, fused: %s}}"
    found = []
    for fused in ("true", "false"):
        made = experiment(request_for(*words, chosen % fused))
        optimizer, _ = made.optimizer()
        stepped_by(optimizer, seed=3)
        state = copy.deepcopy(optimizer.state_dict())
        for values in state["state"].values():
            values.update({key: value.contiguous(memory_format=saved) for key, value in maps_of(values).items()})
        optimizer.load_state_dict(state)
        found.append(stepped_by(optimizer, seed=4))
    assert any(not weight.is_contiguous(memory_format=saved) for weight in found[0] if weight.ndim == 4)
    for ours, twin in zip(*found, strict=True):
        assert (ours - twin).abs().max() <= 1e-5 * twin.abs().max()


def maps_of(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value for key, value in values.items() if value.ndim == 4}


class Own(torch.optim.SGD):
    """An optimizer that means something of its own by that option."""

    def __init__(self, params: list[dict[str, object]], *, lr: float = 0.1, fused: bool = False) -> None:
        assert not fused
        super().__init__(params, lr=lr)


def test_an_optimizer_of_others_is_left_alone(request_for: Make) -> None:
    made = experiment(request_for("stage_1", f"optimizer={{name: '{__name__}:Own', lr: 0.1}}"))
    assert not made.optimizer()[0].defaults["fused"]
