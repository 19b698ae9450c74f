"""`oltr check` builds what needs no data: wrong values show with their place, and nothing else is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from oltr import config
from oltr.cli import main
from oltr.contracts import UserError
from oltr.rehearsal import STAND_INS, rehearse
from oltr.run import Request, run_stage

built: list[torch.device] = []


class Particular(nn.Module):
    """A backbone that wants images of one size, and says so."""

    def __init__(self, *, image_size: int, takes: int = 32) -> None:
        super().__init__()
        if image_size != takes:
            raise UserError(f"images are {takes} x {takes}")
        self.feature_dim = 8


class Counted(nn.Module):
    """A backbone that reads its own weights as it is built, which needs numbers."""

    def __init__(self, *, bound: float = 1.0) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 8)
        self.feature_dim = 8
        built.append(self.layer.weight.device)
        if float(self.layer.weight.abs().max()) > bound:
            raise UserError(f"weights above {bound:g}")


class Folder:
    """A data set that looks at its root as it is built."""

    def __init__(self, *, root: Path | None, kind: str = "any") -> None:
        if root is None:
            raise UserError("say where with --data-root")
        if not root.is_dir():
            raise UserError(f"there is no folder {root}")


class Careless:
    """A loss whose mistakes are errors of Python's."""

    def __init__(self, *, sizes: list[int], num_classes: int) -> None:
        self.sizes = dict(zip(sizes, range(num_classes), strict=True))


def check(folder: Path, *overrides: str) -> int:
    return main(["check", "--config", str(folder / "stage_1.yaml"), *overrides])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.profile=foo", "data: glyphs: no profile 'foo'; there are exponential, step, pareto"),
        ("data={name: cifar10_lt, profile: foo}", "data: no profile 'foo'; there are exponential, step, pareto"),
        ("data={name: glyphs, known_classes: 0}", "data: glyphs: known_classes is at least 1, not 0"),
        ("train_transform.padding=-1", "train_transform: padding is 0 or more pixels, not -1"),
        ("test_transform={name: imagenet_test, resize: 8, size: 9}", "test_transform: size 9 does not fit into resize"),
        ("backbone.dropout=2", "backbone: dropout: the share of features to drop is in [0, 1), not 2"),
        ("backbone.only=[layer9]", "backbone.only: the network has no child 'layer9'; it has: conv1"),
        ("classifier={name: cosine, scale: -1}", "classifier: scale: the scale of cosine logits is a positive number"),
        ("optimizer.momentum=-1", "optimizer: Invalid momentum value: -1"),
        ("optimizer.lr={name: step, value: 1, every: 0}", "optimizer: step.every is at least 1, not 0"),
        ("losses.0.gamma_neg=-2", "losses.0: gamma_neg is a number of at least 0, not -2"),
        ("losses.0.weight={name: step, value: 1, every: 0}", "losses: step.every is at least 1, not 0"),
        ("losses=[{name: cross_entropy, class_weights: balancd}]", "losses.0: class_weights is 'balanced' or a list"),
        ("clip_norm={name: cyclical, low: 0, high: 1, factor: 0}", "clip_norm: cyclical.factor is at least 1, not 0"),
        ("sampler={name: class_aware, images_per_class: 0}", "sampler: images_per_class is at least 1, not 0"),
        ("sampler={name: listed, file: gone.npy}", "sampler: gone.npy: no such file"),
        (
            "evaluation={scorers: [{name: energy, temperature: 0}]}",
            "evaluation.scorers: energy: the temperature must be",
        ),
        (f"backbone={{name: '{__name__}:Counted', bound: 0}}", "backbone: weights above 0"),
    ],
)
def test_a_wrong_value_inside_an_option_is_told_with_its_place(
    configs: Path, capsys: pytest.CaptureFixture[str], override: str, message: str
) -> None:
    assert check(configs, override) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"oltr: {configs / 'stage_1.yaml'}: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "override",
    [
        "data=imagenet_lt",
        "data={name: cifar10_lt, open_classes: 3}",
        f"data='{__name__}:Folder'",
        "losses=[{name: cross_entropy, class_weights: [1, 2, 3, 4, 5]}]",
        "losses=[{name: cross_entropy, class_weights: balanced}]",
        f"losses=[{{name: '{__name__}:Careless', sizes: [1, 2, 3]}}]",
        "evaluation.shots={rule: lists, many: [0], few: [4]}",
        f"backbone='{__name__}:Particular'",
        f"backbone={{name: '{__name__}:Particular', takes: 64}}",
        f"backbone={{name: '{__name__}:Particular', takes: 9}}|test_transform={{name: cifar_test, size: 9}}",
        f"backbone='{__name__}:Counted'",
        "initial_weights=not_there_yet.pth",
        "stage.weights=not_there_yet.pth",
        "cache={}",
        "compute={compile: true, precision: bfloat16, accumulate: 16}",
        "compute={compile: reduce-overhead, compile_losses: true}",
    ],
)
def test_what_only_the_data_or_the_run_can_tell_is_no_error(configs: Path, override: str) -> None:
    assert check(configs, *override.split("|")) == 0


def test_a_network_is_built_without_numbers_where_it_can_be(configs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built.clear()
    assert check(configs, f"backbone='{__name__}:Counted'") == 0
    assert [device.type for device in built] == ["meta", "cpu"]
    sizes = []
    monkeypatch.setattr(nn.Conv2d, "reset_parameters", lambda layer: sizes.append(layer.weight.device.type))
    rehearse(config.load(configs / "stage_1.yaml", ["backbone={name: resnet152}"]), "here")
    assert len(sizes) > 150
    assert set(sizes) == {"meta"}


def test_all_of_a_chain_is_checked(configs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage_2 = str(configs / "stage_2.yaml")
    assert main(["check", "--config", stage_2]) == 0
    assert main(["check", "--config", stage_2, "init_from.losses.0.gamma_neg=-2"]) == 2
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith(f"{stage_2} is valid")
    assert err.startswith(f"oltr: {configs / 'stage_1.yaml'}: losses.0: gamma_neg")
    assert main(["check", "--config", stage_2, "losses.1.gradient=exact"]) == 2
    assert "stage_2.yaml: losses.1: gradient is 'published' or 'autograd'" in capsys.readouterr().err


def test_the_words_are_those_of_the_run(configs: Path, tmp_path: Path) -> None:
    for override in ("losses.0.gamma_neg=-2", "backbone.only=[layer9]", "optimizer.momentum=-1"):
        request = Request(config=configs / "stage_1.yaml", overrides=(override,), out=tmp_path / "runs", device="cpu")
        with pytest.raises(UserError) as in_the_run:
            run_stage(request)
        with pytest.raises(UserError) as here:
            rehearse(config.load(request.config, [override]), str(request.config))
        assert str(here.value) == str(in_the_run.value)


def test_stand_ins_differ_in_all_that_data_tell() -> None:
    columns: Any = zip(*STAND_INS, strict=True)
    assert all(len(set(column)) > 1 for column in columns)
