"""Configs: parsed or refused with a located line, written and read back, chained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oltr import config
from oltr.config import check, load, parse, plain, predecessor, split_overrides
from oltr.plain_data import ConfigError, override, read_yaml, write_yaml
from oltr.stage_config import StageConfig

SMALL: dict[str, Any] = {
    "stage": "feature",
    "data": {"name": "glyphs", "known_classes": 4},
    "train_transform": "plain",
    "test_transform": "plain",
    "sampler": "shuffled",
    "backbone": {"name": "small_resnet10", "width": 4, "optim": {"lr": 0.2}, "only": ["layer4"]},
    "classifier": "dot_product",
    "optimizer": {"name": "sgd", "lr": {"name": "step", "value": 0.1, "every": 2, "factor": 0.5}},
    "losses": ["cross_entropy", {"name": "disc_centroids", "weight": 0.01}],
    "memory": {"optim": {"lr": 0.01}},
    "epochs": 2,
    "batch_size": 8,
    "evaluation": {"scorers": ["msp"], "thresholds": [{"name": "fixed", "scorer": "msp", "confidence": 0.1}]},
}


def parsed(*assignments: str) -> StageConfig:
    return parse(override(SMALL, assignments), "here")


def test_a_part_is_a_name_and_options_apart_from_what_the_config_keeps() -> None:
    stage = parsed()
    assert stage.backbone.options == {"width": 4}
    assert stage.backbone.optim == {"lr": 0.2}
    assert stage.backbone.only == ("layer4",)
    assert [loss.weight for loss in stage.losses] == [1.0, 0.01]
    assert stage.sampler.name == "shuffled"


def test_what_is_stored_is_read_back_equal() -> None:
    stage = parsed()
    stored = read_yaml(write_yaml(plain(stage)), "stored")
    assert parse(stored, "stored") == stage


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epoch=3", "here: unknown key 'epoch'; did you mean 'epochs'?"),
        ("epochs=-1", "here: epochs: a whole number from 0 on, not -1"),
        ("epochs=2.5", "here: epochs: a whole number from 0 on, not 2.5"),
        ("batch_size=0", "here: batch_size: a whole number from 1 on, not 0"),
        ("seed=true", "here: seed: a whole number from 0 on, not True"),
        ("keep=bset", "here: keep: 'bset'; did you mean 'best'?"),
        ("losses=[]", "here: losses: a list of one loss or more"),
        ("losses.1.weight=much", "here: losses.1.weight: a number or a schedule, not 'much'"),
        ("losses=[cross_entropy, cross_entropy]", "here: losses: 'cross_entropy' stands twice; losses are told apart"),
        ("evaluation.scorers=[msp, msp]", "here: evaluation.scorers: 'msp' stands twice; scores are told apart"),
        ("losses.0=3", "here: losses.0: a part is a name, or a mapping with a name, not 3"),
        ("backbone.only=layer4", "here: backbone.only: a list of children's names"),
        ("backbone.optim=0.1", "here: backbone.optim: a mapping of the optimizer's settings"),
        ("memory.lr=0.1", "here: memory: unknown key 'lr'"),
        ("cache.image_size=0", "here: cache.image_size: a whole number from 1 on, or null"),
        ("cache.scaled_decode=2", "here: cache.scaled_decode: true or false, not 2"),
        ("cache.scaled_decode=true", "here: cache.scaled_decode: down to which size? Set image_size too"),
        ("clip_norm=high", "here: clip_norm: a number or a schedule"),
        ("init_from=1", "here: init_from: the name of a config beside this one, or a file of weights, not 1"),
        ("evaluation.acceptance=0.9", "here: evaluation.acceptance: threshold rules are parts now"),
        ("evaluation.fixed.msp=0.1", "here: evaluation.fixed: threshold rules are parts now"),
        ("evaluation.thresholds=known_acceptance", "here: evaluation.thresholds: a list of thresholds"),
        ("evaluation.train=some", "here: evaluation.train: true, false or null, not 'some'"),
        ("test_selected=perhaps", "here: test_selected: true or false, not 'perhaps'"),
        ("evaluation.scorer=msp", "here: evaluation: unknown key 'scorer'; did you mean 'scorers'?"),
        ("evaluation.batch_size=0", "here: evaluation.batch_size: a whole number from 1 on"),
        ("initial_weights=1", "here: initial_weights: the name of a file, not 1"),
        ("backbone.rest=1", "here: backbone.rest: true or false, not 1"),
        ("compute.precision=float16", "here: compute.precision: 'float16'; did you mean 'bfloat16'?"),
        ("compute.accumulate=0", "here: compute.accumulate: a whole number from 1 on, not 0"),
        ("compute.compile=1", "here: compute.compile: true, false or the name of a mode, not 1"),
        ("compute.compile=reduce_overhead", "compute.compile: 'reduce_overhead'; did you mean 'reduce-overhead'?"),
        ("compute={compile: max-autotune, accumulate: 2}", "compute.compile: 'max-autotune' replays CUDA graphs"),
        ("compute.compile_losses=default", "here: compute.compile_losses: true or false, not 'default'"),
        ("compute.compile_transform=1", "here: compute.compile_transform: true or false, not 1"),
        ("compute.channel_last=true", "here: compute: unknown key 'channel_last'; did you mean 'channels_last'?"),
    ],
)
def test_a_wrong_key_is_located(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parsed(assignment)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_key_is_named() -> None:
    without = {key: value for key, value in SMALL.items() if key != "optimizer"}
    with pytest.raises(ConfigError, match="here: the key 'optimizer' is missing"):
        parse(without, "here")


def test_check_accepts_a_right_config() -> None:
    check(parsed(), "here")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("losses.0=cross_entropi", "here: losses.0: no loss 'cross_entropi'; did you mean 'cross_entropy'?"),
        ("backbone.widht=3", "here: backbone: backbone small_resnet10"),
        ("backbone.optim.lrr=3", "here: backbone.optim: optimizer sgd"),
        ("memory.optim.momentun=3", "here: memory.optim: optimizer sgd"),
        ("optimizer.lr.evry=3", "option 'lr': schedule step"),
        ("losses.1.weight={name: cosin}", "here: losses.1.weight: no schedule 'cosin'; did you mean 'cosine'?"),
        ("clip_norm={name: cosin}", "here: clip_norm: no schedule 'cosin'"),
        ("memory=null", "here: losses.1: 'disc_centroids' reads class centroids: add `memory: {}`"),
        ("evaluation.scorers=[mps]", "here: evaluation.scorers.0: no scorer 'mps'; did you mean 'msp'?"),
        ("losses=[cross_entropy]", "here: memory: neither a loss nor the classifier reads it; drop it"),
        ("data.root=x", "'root' is given by the run and cannot be set"),
    ],
)
def test_check_locates_a_wrong_part(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        check(parsed(assignment), "here")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_classifier_that_reads_centroids_asks_for_a_memory() -> None:
    with pytest.raises(ConfigError, match="here: classifier: 'meta_embedding' reads class centroids"):
        check(parsed("classifier=meta_embedding", "losses=[cross_entropy]", "memory=null"), "here")


def test_overrides_of_the_data_reach_the_stage_before() -> None:
    own, passed_on = split_overrides(["data.known_classes=3", "epochs=1", "init_from.epochs=2", "workers=1"])
    assert own == ["data.known_classes=3", "epochs=1", "workers=1"]
    assert passed_on == ["data.known_classes=3", "workers=1", "epochs=2"]


def test_init_from_names_a_config_beside_this_one(tmp_path: Path) -> None:
    second, first = tmp_path / "stage_2.yaml", tmp_path / "stage_1_cfl.yaml"
    second.write_text(write_yaml({**SMALL, "init_from": "stage_1_cfl"}))
    stage = load(second)
    first.write_text(write_yaml(SMALL))
    assert predecessor(second, stage) == first
    assert predecessor(first, load(first)) is None
    first.rename(tmp_path / "stage_1.yaml")
    with pytest.raises(ConfigError, match=r"init_from: no config .*stage_1_cfl\.yaml; did you mean 'stage_1'"):
        predecessor(second, stage)


def test_reading_a_config_imports_no_part() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from oltr import config; "
        "config.load(Path('config/Glyphs_LT/stage_1.yaml')); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(config.__file__).parent.parent)
