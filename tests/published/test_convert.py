"""Published configs written as YAML of this suite: what it runs, and which quirks its comments say it leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oltr import config
from oltr.cli import main
from oltr.contracts import Progress
from oltr.plain_data import read_yaml
from oltr.published.convert import converted
from oltr.published.convert import write as write_yaml_file
from tests.published.forms import FORMS, Tree, changed, focal, form, place, write


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def yaml_of(tree: Tree, path: str = "config/Mine_LT/stage.py") -> tuple[dict[str, Any], str]:
    """The plain data of the converted config, and its comments as one line of words."""
    text = converted(write(tree, path))
    comments = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    return read_yaml(text, "converted"), comments


@pytest.mark.parametrize(("places", "stage", "cfl"), FORMS)
def test_each_published_form_converts_to_a_config_that_checks(
    places: bool, stage: int, cfl: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in (True, False):
        write(form(places=places, stage=1, cfl=each), place(places, 1, each))
    old = write(form(places=places, stage=stage, cfl=cfl), place(places, stage, cfl))
    for path in sorted(old.parent.glob("*.py")):
        assert main(("convert", str(path), "-o", str(path.with_suffix(".yaml")))) == 0
    new = old.with_suffix(".yaml")
    capsys.readouterr()
    assert main(("check", "--config", str(new))) == 0
    shown = capsys.readouterr().out
    before = f"{old.parent}/stage_1{'_cfl' if cfl else ''}.yaml"
    assert (f"it starts from {before}" in shown) == (stage == 2)
    assert "published" not in read_yaml(new.read_text(), "new")["backbone"]["name"]
    mine, theirs = config.load(new), config.load(old)
    for key in ("epochs", "batch_size", "workers", "sampler", "train_transform", "test_transform", "keep"):
        assert getattr(mine, key) == getattr(theirs, key)
    assert mine.data.name == ("places_lt" if places else "imagenet_lt")
    assert mine.evaluation.thresholds == theirs.evaluation.thresholds
    for name in ("backbone", "classifier"):
        ours, published = getattr(mine, name), getattr(theirs, name)
        assert {**mine.optimizer.options, **ours.optim} == dict(published.optim)
        assert ours.only == published.only
        assert ours.rest


def test_the_quirks_of_a_cfl_stage_2_are_left_behind_and_named() -> None:
    write(form(cfl=True), "config/ImageNet_LT/stage_1_cfl.py")
    write(form(), "config/ImageNet_LT/stage_1.py")
    plain, comments = yaml_of(form(stage=2, cfl=True), "config/ImageNet_LT/stage_2_cfl_meta_embedding.py")
    assert plain["init_from"] == "stage_1_cfl"
    assert plain["stage"] == {"name": "meta_embedding", "new": ["modulatedatt", "fc_add"]}
    assert plain["losses"][0] == {
        "name": "cyclical_focal",
        "gamma_pos": 0,
        "gamma_neg": 4,
        "gamma_hc": 2,
        "label_smoothing": 0.1,
        "factor": 4,
    }
    etas = [Progress(epoch=epoch, epochs=60).cycle(plain["losses"][0]["factor"]) for epoch in range(60)]
    assert (etas[0], min(etas) >= 0, etas[-1]) == (1.0, True, 1.0)
    assert plain["backbone"] == {
        "name": "resnet10",
        "attention": True,
        "fc": True,
        "optim": {"lr": {"name": "step", "value": 0.01, "every": 20, "factor": 0.1}},
    }
    assert plain["optimizer"] == {"name": "sgd", "momentum": 0.9, "weight_decay": 0.0005}
    for words in (
        "the loss's own 30 epochs, counted from 1, which leaves [0, 1]",
        "the command line's gammas and factor",
        "the plain stage 1: it starts from the CFL one",
        "an attention that starts at random",
        "training_opt.log_dir",
        "training_opt.display_step has no effect here",
    ):
        assert words in comments, words
    assert "as published" not in comments


def test_places_lt_starts_from_its_weights_and_what_is_frozen_rests() -> None:
    first, _ = yaml_of(form(places=True), "config/Places_LT/stage_1.py")
    assert first["stage"] == {
        "name": "feature",
        "weights": "./logs/caffe_resnet152.pth",
        "new": ["fc_add"],
        "unused": ["fc"],
    }
    second, comments = yaml_of(form(places=True, stage=2), "config/Places_LT/stage_2.py")
    assert second["stage"] == {"name": "meta_embedding", "new": ["modulatedatt", "fc_add"]}
    assert second["backbone"]["only"] == ["modulatedatt", "fc_add"]
    assert "rest" not in second["backbone"]
    assert "BatchNorm statistics of the frozen backbone that move on" in comments


def test_a_stage_1_that_is_not_there_is_a_guess_and_said_to_be() -> None:
    plain, comments = yaml_of(form(stage=2))
    assert plain["init_from"] == "stage_1"
    assert "init_from: stage_1 is a guess" in comments
    assert plain["stage"]["new"] == ["modulatedatt", "fc_add"]


def test_a_loss_without_a_cycle_and_a_data_set_of_one_s_own() -> None:
    tree = changed(form(), criterions__PerformanceLoss=focal(gamma_hc=0), training_opt__dataset="Mine_LT")
    plain, _ = yaml_of(tree)
    assert plain["losses"][0]["eta"] == 0.0
    assert plain["data"] == {"name": "image_list", "list_name": "Mine_LT", "num_classes": 1000}
    assert yaml_of(form())[0]["losses"] == ["cross_entropy"]
    assert yaml_of(changed(form(), criterions__PerformanceLoss__weight=2.0))[0]["losses"] == [
        {"name": "cross_entropy", "weight": 2.0}
    ]


def test_centroids_that_do_not_train_keep_their_rate_of_zero() -> None:
    plain, comments = yaml_of(changed(form(stage=2), criterions__FeatureLoss__optim_params=None))
    assert plain["memory"] == {"optim": {"lr": 0.0}}
    assert plain["optimizer"] == {"name": "sgd", "momentum": 0.9, "weight_decay": 0.0005}
    assert "the centroids do not train" in comments


def test_parts_of_a_user_s_own_keep_their_wrappers() -> None:
    tree = changed(form(stage=2), networks__feat_model__def_file="./mine/Net.py", networks__feat_model__params={"a": 1})
    plain, comments = yaml_of(tree)
    assert plain["backbone"]["name"] == "oltr.published.networks:Backbone"
    assert plain["backbone"]["arguments"] == [1]
    assert plain["stage"]["name"] == "oltr.published.stage:PublishedStage"
    assert "oltr.published.networks:Backbone runs a file of your own" in comments
    text = write_yaml_file(Path("config/Mine_LT/stage.py"), Path("new/stage.yaml"))
    assert text == "new/stage.yaml\n"
    path = Path("new/stage.yaml")
    config.check(config.load(path), str(path))


def test_it_goes_to_stdout_or_into_a_new_file(capsys: pytest.CaptureFixture[str]) -> None:
    write(form(), "stage.py")
    assert main(("convert", "stage.py")) == 0
    text = capsys.readouterr().out
    assert read_yaml(text, "stdout")["epochs"] == 30
    Path("there.yaml").write_text("mine\n")
    assert main(("convert", "stage.py", "-o", "there.yaml")) == 2
    assert "there.yaml is there already" in capsys.readouterr().err
    assert Path("there.yaml").read_text() == "mine\n"
    assert main(("convert", "there.yaml")) == 2
    assert "there.yaml: not a published config, which is a .py file" in capsys.readouterr().err


def test_a_config_that_was_not_named_is_not_executed() -> None:
    beside = write(form(), "config/ImageNet_LT/stage_1.py")
    beside.write_text(beside.read_text() + "open('executed', 'w').close()\n")
    plain, _ = yaml_of(form(stage=2), "config/ImageNet_LT/stage_2_meta_embedding.py")
    assert plain["init_from"] == "stage_1"
    assert not Path("executed").exists()


def test_of_several_first_stages_the_one_called_so_is_taken_and_the_others_are_named() -> None:
    for name in ("again", "stage_1", "stage_1_cfl"):
        write(form(cfl="cfl" in name), f"config/ImageNet_LT/{name}.py")
    plain, comments = yaml_of(form(stage=2), "config/ImageNet_LT/stage_2_meta_embedding.py")
    assert plain["init_from"] == "stage_1"
    assert (
        "starts from the run of stage_1, which is to be converted too (with the same log_dir there: again)" in comments
    )
