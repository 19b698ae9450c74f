"""Published configs run through the command, both stages, from lists and images on disk to the report."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from oltr import checkpoint
from oltr.arguments import Parser, add_run, parse
from oltr.cli import main, main_run
from tests.published.forms import Tree, changed, form, optim, write, write_images

SMALL = ("train_transform=plain", "test_transform=plain", "--device", "cpu", "--data-root", "images")
NET = """
import torch
from torch import nn
from notes_of_mine import note

class Net(nn.Module):
    def __init__(self, width, deep):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, stride=2)
        self.bn = nn.BatchNorm2d(width)
        self.fc_more = nn.Linear(width, width) if deep else None

    def forward(self, x):
        x = torch.relu(self.bn(self.conv(x))).mean((2, 3))
        return (x if self.fc_more is None else torch.relu(self.fc_more(x))), None

def create_model(width, deep, weights, test):
    net = Net(width, deep)
    if weights and not test:
        note('loads', weights)
        stored = torch.load(weights)['state_dict_best']['feat_model']
        net.load_state_dict({k[7:]: v for k, v in stored.items()}, strict=False)
    return net
"""
HEAD = """
from torch import nn

class Head(nn.Linear):
    def forward(self, x, centroids):
        return super().forward(x) + (0 if centroids is None else x @ centroids.T), centroids

def create_model(width, classes, test):
    return Head(width, classes)
"""
FOCAL = """
from torch import nn
from notes_of_mine import note

class Focal(nn.CrossEntropyLoss):
    def forward(self, logits, labels, epoch):
        note('epoch', epoch)
        return super().forward(logits, labels)

def create_loss(gamma_hc):
    return Focal()
"""
CENTERS = """
import torch
from torch import nn

class Centers(nn.Module):
    def __init__(self, classes, width):
        super().__init__()
        self.centroids = nn.Parameter(torch.randn(classes, width))

    def forward(self, features, labels):
        return ((features - self.centroids[labels]) ** 2).sum() / len(features)

def create_loss(classes, width):
    return Centers(classes, width)
"""
NOTES = "noted = []\ndef note(*words):\n    noted.append(words)\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "notes_of_mine", raising=False)


def small(tree: Tree, **values: Any) -> Tree:
    """A published form on the data of ``write_images``, for two epochs."""
    dataset = "Mine_LT"
    stage = tree["training_opt"]["log_dir"].rpartition("/")[2]
    training = {"dataset": dataset, "log_dir": f"./logs/{dataset}/{stage}", "num_classes": 3, "num_epochs": 2}
    for key, value in {**training, "batch_size": 4, "num_workers": 0}.items():
        tree["training_opt"][key] = value
    for network in tree["networks"].values():
        network["optim_params"]["lr"] = 0.002  # there are few images, and batches of 4
        for key, value in (("dataset", dataset), ("num_classes", 3)):
            if key in network["params"]:
                network["params"][key] = value
    if "FeatureLoss" in tree["criterions"]:
        tree["criterions"]["FeatureLoss"]["loss_params"]["num_classes"] = 3
    return changed(tree, **values)


def best(folder: str) -> dict[str, Tensor]:
    return dict(checkpoint.load(Path(folder) / "best.pt", ("pair",))["pair"])


def test_both_stages_run_in_the_folders_that_their_configs_name(capsys: pytest.CaptureFixture[str]) -> None:
    write_images("Mine_LT", size=32)
    write(small(form()), "config/Mine_LT/stage_1.py")
    write(small(form(stage=2)), "config/Mine_LT/stage_2_meta_embedding.py")
    second = ("--config", "config/Mine_LT/stage_2_meta_embedding.py", *SMALL)
    assert main_run(second) == 2
    told = capsys.readouterr().err
    assert "config/Mine_LT/stage_1.py writes it" in told
    assert "there is no logs/Mine_LT/stage1/final_model_checkpoint.pth" in told
    assert not Path("logs").exists()
    assert main_run(("--config", "config/Mine_LT/stage_1.py", *SMALL)) == 0
    assert "training_opt.display_step has no effect here" in capsys.readouterr().err
    stored = torch.load("logs/Mine_LT/stage1/final_model_checkpoint.pth", weights_only=True)
    assert main_run((*second, "epochs=0")) == 0
    start = best("logs/Mine_LT/meta_embedding")
    for key, value in stored["state_dict_best"]["feat_model"].items():
        assert torch.equal(start[f"backbone.{key.removeprefix('module.')}"], value), key
    assert torch.equal(
        start["classifier.fc_hallucinator.weight"], stored["state_dict_best"]["classifier"]["module.fc.weight"]
    )
    assert start["backbone.modulatedatt.conv_mask.weight"].any()  # drawn, as published
    assert main_run((*second, "--fresh")) == 0
    trained = best("logs/Mine_LT/meta_embedding")
    assert not torch.equal(trained["memory.centroids"], start["memory.centroids"])
    capsys.readouterr()
    assert main_run((*second, "--test_open", "--output_logits", "True")) == 0
    written = Path("logs/Mine_LT/meta_embedding/logits_open.npz")
    with np.load(written) as logits:
        assert logits["labels"].tolist().count(-1) == 4
    for file in written.parent.glob("*.npz"):
        file.unlink()
    assert main_run((*second, "--test", "--output_logits", "False")) == 0
    assert not list(written.parent.rglob("*.npz"))
    assert "Mine_LT" in capsys.readouterr().out


def test_a_checkpoint_of_the_original_is_tested_and_never_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    """As the original's users have it: a log folder with nothing in it but the checkpoint and the log."""
    write_images("Mine_LT", size=16)
    write(small(form()), "config/Mine_LT/stage_1.py")
    words = ("--config", "config/Mine_LT/stage_1.py", *SMALL)
    assert main_run(words) == 0
    ours = Path("logs/Mine_LT/stage1")
    before = json.loads((ours / "report.json").read_text())
    theirs = (ours / "final_model_checkpoint.pth").read_bytes()
    shutil.rmtree(ours)
    ours.mkdir()
    for name, content in (
        ("final_model_checkpoint.pth", theirs),
        ("log.txt", b"Phase: train"),
        ("logits_close.npz", b"x"),
    ):
        (ours / name).write_bytes(content)
    capsys.readouterr()
    assert main_run((*words, "--test_open")) == 0
    told = capsys.readouterr()
    assert "published checkpoint" in told.err
    assert "as published, open set, threshold 0.1: open-set accuracy" in told.out
    after = json.loads((ours / "test_open" / "report.json").read_text())
    assert after["closed"] == before["closed"]
    assert after["open"] == before["open"]
    assert main(("report", str(ours / "test_open"))) == 0
    assert main_run(words) == 2
    assert "--test evaluates it, --fresh trains anew and replaces it, --out keeps both" in capsys.readouterr().err
    assert (ours / "final_model_checkpoint.pth").read_bytes() == theirs
    assert not (ours / "config.yaml").exists()
    assert main_run((*words, "--fresh", "--seed", "1")) == 0
    assert (ours / "final_model_checkpoint.pth").read_bytes() != theirs
    assert (ours / "log.txt").read_bytes() == b"Phase: train"
    assert (ours / "logits_close.npz").read_bytes() == b"x"


def test_out_takes_the_place_of_logs_in_both_stages() -> None:
    write_images("Mine_LT", size=32)
    write(small(form()), "config/Mine_LT/stage_1.py")
    write(small(form(stage=2)), "config/Mine_LT/stage_2.py")
    first, second = (("--config", f"config/Mine_LT/stage_{stage}.py", *SMALL, "epochs=0") for stage in (1, 2))
    assert main_run(first) == 0
    assert main_run((*second, "--out", "kept")) == 0, "a stage 1 in ./logs serves where --out has none"
    assert main_run((*first, "--out", "new", "--seed", "3")) == 0
    assert main_run((*second, "--out", "new")) == 0
    for out, stage_1 in (("kept", "logs"), ("new", "new")):
        head = best(f"{stage_1}/Mine_LT/stage1")["classifier.fc.weight"]
        assert torch.equal(best(f"{out}/Mine_LT/meta_embedding")["classifier.fc_hallucinator.weight"], head)


def test_cfl_s_options_rule_over_a_run_and_are_part_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    write_images("Mine_LT", size=16)
    write(small(form(cfl=True)), "config/Mine_LT/stage_1_cfl.py")
    words = ("--config", "config/Mine_LT/stage_1_cfl.py", "epochs=1", *SMALL)
    assert main_run((*words, "--gamma_pos", "1", "--cyclical_factor", "4")) == 0
    report = json.loads(Path("logs/Mine_LT/stage1_cfl_G214/report.json").read_text())
    (loss,) = report["run"]["config"]["losses"]
    assert (loss["gamma_pos"], loss["gamma_hc"], loss["eta"]["factor"], loss["eta"]["epochs"]) == (1, 2, 4, 30)
    assert "--gamma_pos 1 --cyclical_factor 4" in report["run"]["command"]
    capsys.readouterr()
    assert main(("show", *words[:2], "--gamma_hc", "0")) == 0
    assert "eta: 0.0" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main_run((*words, "--gamma_hc", "x"))
    assert "a number, not 'x'" in capsys.readouterr().err


def test_yaml_configs_do_not_take_cfl_s_options(capsys: pytest.CaptureFixture[str]) -> None:
    Path("stage.yaml").write_text("stage: feature\n")
    assert main_run(("--config", "stage.yaml", "--cyclical_factor", "4")) == 2
    assert "for stage.yaml write losses.0.factor=4" in capsys.readouterr().err


def own_parts(stage: int) -> Tree:
    """A stage whose every part is a file of the user's own."""
    Path("mine").mkdir(exist_ok=True)
    for name, text in (("Net", NET), ("Head", HEAD), ("focal", FOCAL), ("Centers", CENTERS)):
        Path(f"mine/{name}.py").write_text(text)
    Path("notes_of_mine.py").write_text(NOTES)
    weights = "./logs/Mine_LT/stage1/final_model_checkpoint.pth" if stage == 2 else None
    return small(
        form(stage=stage),
        training_opt__feature_dim=6,
        networks__feat_model={
            "def_file": "./mine/Net.py",
            "params": {"width": 6, "deep": stage == 2, "weights": weights},
            "optim_params": optim(0.05),
            "fix": stage == 2,
        },
        networks__classifier={
            "def_file": "./mine/Head.py",
            "params": {"in": 6, "classes": 3},
            "optim_params": optim(0.05),
        },
        criterions__PerformanceLoss__def_file="./mine/focal.py",
        criterions__PerformanceLoss__loss_params={"gamma_hc": 1},
    )


def test_parts_of_a_user_s_own_run_in_both_stages() -> None:
    write_images("Mine_LT")
    write(own_parts(1), "config/Mine_LT/stage_1.py")
    assert main_run(("--config", "config/Mine_LT/stage_1.py", *SMALL)) == 0
    first = best("logs/Mine_LT/stage1")
    tree = own_parts(2)
    tree["criterions"]["FeatureLoss"] |= {"def_file": "./mine/Centers.py", "loss_params": {"classes": 3, "width": 6}}
    write(tree, "config/Mine_LT/stage_2.py")
    words = ("--config", "config/Mine_LT/stage_2.py", *SMALL)
    assert main_run((*words, "epochs=0")) == 0
    start = best("logs/Mine_LT/meta_embedding")
    assert torch.equal(start["backbone.module.conv.weight"], first["backbone.module.conv.weight"])
    assert torch.equal(start["backbone.module.bn.running_var"], first["backbone.module.bn.running_var"])
    assert main_run((*words, "--fresh")) == 0
    from notes_of_mine import noted  # type: ignore[import-not-found]

    assert [words for words in noted if words[0] == "loads"] == [
        ("loads", tree["networks"]["feat_model"]["params"]["weights"])
    ] * 2
    steps = [words[1] for words in noted if words[0] == "epoch"]
    assert steps[: len(steps) // 2] == [1] * 4 + [2] * 4  # 18 images in batches of 4, epochs from 1
    trained = best("logs/Mine_LT/meta_embedding")
    assert torch.equal(trained["backbone.module.conv.weight"], start["backbone.module.conv.weight"])  # fixed
    assert not torch.equal(trained["backbone.module.bn.running_mean"], start["backbone.module.bn.running_mean"])
    assert not torch.equal(trained["backbone.module.fc_more.weight"], start["backbone.module.fc_more.weight"])
    assert not torch.equal(trained["memory.centroids"], start["memory.centroids"])
    noted.clear()
    assert main_run((*words, "--test_open")) == 0
    assert noted == []  # test mode: nothing is loaded
    stored = torch.load("logs/Mine_LT/meta_embedding/final_model_checkpoint.pth", weights_only=True)
    assert "module.conv.weight" in stored["state_dict_best"]["feat_model"]


def test_an_edited_file_of_one_s_own_makes_another_config(capsys: pytest.CaptureFixture[str]) -> None:
    write_images("Mine_LT")
    words = ("--config", str(write(own_parts(1), "config/Mine_LT/stage_1.py")), *SMALL, "epochs=1")
    assert main_run(words) == 0
    Path("mine/Net.py").write_text(NET + "\n")
    capsys.readouterr()
    assert main_run((*words, "--test")) == 2
    assert "was run with another config (backbone.sha256: " in capsys.readouterr().err


def test_a_part_of_one_s_own_that_fails_ends_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_images("Mine_LT")
    write(own_parts(1), "config/Mine_LT/stage_1.py")
    Path("mine/Net.py").write_text(NET.replace("return net", "return net.of_nothing"))
    assert main_run(("--config", "config/Mine_LT/stage_1.py", *SMALL)) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("oltr: config/Mine_LT/stage_1.py: backbone: ./mine/Net.py:")
    assert "AttributeError: 'Net' object has no attribute 'of_nothing' (in create_model(6, False, None, True))" in told
    assert not Path("logs").exists()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--output_logits"], True),
        (["--output_logits", "True"], True),
        (["--output-logits", "false"], False),
        (["--output_logits=False"], False),
        (["--output_logits", "epochs=2"], True),
        ([], False),
    ],
)
def test_output_logits_takes_a_value_or_none(words: list[str], wanted: bool) -> None:
    """The published command wants a value; one that is left out does not take an override for it."""
    chosen = parse(add_run(Parser(prog="main.py")), ["--config", "a.py", *words])
    assert chosen.output_logits is wanted
    assert chosen.overrides == [word for word in words if word == "epochs=2"]


def test_a_config_whose_training_was_edited_is_tested_as_it_was_trained(capsys: pytest.CaptureFixture[str]) -> None:
    write_images("Mine_LT", size=32)
    for stage in (1, 2):
        write(small(form(stage=stage)), f"config/Mine_LT/stage_{stage}.py")
        assert main_run(("--config", f"config/Mine_LT/stage_{stage}.py", *SMALL, "epochs=1")) == 0
    path = "config/Mine_LT/stage_2.py"
    before = json.loads(Path("logs/Mine_LT/meta_embedding/report.json").read_text())
    tree = small(form(stage=2), training_opt__num_epochs=9, training_opt__batch_size=7, training_opt__sampler=None)
    tree["networks"]["feat_model"] |= {"fix": True, "optim_params": optim(0.5)}
    tree["networks"]["classifier"] |= {"fix": True, "optim_params": optim(0.5)}
    tree["networks"]["feat_model"]["params"]["stage1_weights"] = False
    tree["criterions"]["FeatureLoss"] |= {"optim_params": None, "weight": 0.5}
    tree["training_opt"]["scheduler_params"]["step_size"] = 3
    tree["training_opt"]["open_threshold"] = 0.3
    write(tree, path)
    words = ("--config", path, *SMALL, "train_transform=imagenet_train", "--seed", "1", "--test_open")
    assert main_run(words) == 0
    after = json.loads(Path("logs/Mine_LT/meta_embedding/test_open/report.json").read_text())
    assert after["closed"] == before["closed"]
    assert after["run"]["epochs"] == 1
    assert after["run"]["config"]["evaluation"]["thresholds"][1]["confidence"] == 0.3
    write(changed(tree, networks__feat_model__params__use_fc=False), path)
    capsys.readouterr()
    assert main_run(words) == 2
    told = capsys.readouterr().err
    assert "was run with another config (backbone.fc: True -> False): --test evaluates the run as it was" in told
    assert "--fresh" not in told


def test_a_checkpoint_of_a_classifier_without_centroids_is_tested(capsys: pytest.CaptureFixture[str]) -> None:
    """The original stores None for centroids that its classifier is not given."""
    write_images("Mine_LT", size=16)
    tree = small(form())
    tree["criterions"]["FeatureLoss"] = small(form(stage=2))["criterions"]["FeatureLoss"]
    write(tree, "config/Mine_LT/stage_1.py")
    words = ("--config", "config/Mine_LT/stage_1.py", *SMALL, "epochs=1")
    assert main_run(words) == 0
    folder = Path("logs/Mine_LT/stage1")
    before = json.loads((folder / "report.json").read_text())
    theirs = torch.load(folder / "final_model_checkpoint.pth", weights_only=True)
    shutil.rmtree(folder)
    folder.mkdir()
    torch.save({**theirs, "centroids": None}, folder / "final_model_checkpoint.pth")
    capsys.readouterr()
    assert main_run((*words, "--test")) == 0
    assert "it holds no class centroids, which the classifier does not read" in capsys.readouterr().err
    assert json.loads((folder / "test" / "report.json").read_text())["closed"] == before["closed"]


def test_a_second_stage_starts_from_a_file_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    write_images("Mine_LT", size=32)
    write(small(form()), "config/Mine_LT/stage_1.py")
    write(small(form(stage=2)), "config/Mine_LT/stage_2.py")
    assert main_run(("--config", "config/Mine_LT/stage_1.py", *SMALL, "epochs=0", "--out", "there")) == 0
    file = "there/Mine_LT/stage1/final_model_checkpoint.pth"
    stored = torch.load(file, weights_only=True)["state_dict_best"]
    assert main_run(("--config", "config/Mine_LT/stage_2.py", *SMALL, "epochs=0", f"init_from={file}")) == 0
    start = best("logs/Mine_LT/meta_embedding")
    for key, value in stored["feat_model"].items():
        assert torch.equal(start[f"backbone.{key.removeprefix('module.')}"], value), key
    assert torch.equal(start["classifier.fc_hallucinator.weight"], stored["classifier"]["module.fc.weight"])
    assert f"the backbone from {file}: 72 tensors loaded" in capsys.readouterr().err


def test_a_feature_loss_of_one_s_own_trains_centroids_that_nobody_reads() -> None:
    write_images("Mine_LT")
    tree = own_parts(1)
    tree["criterions"]["FeatureLoss"] = {
        "def_file": "./mine/Centers.py",
        "loss_params": {"classes": 3, "width": 6},
        "optim_params": optim(0.05),
        "weight": 0.01,
    }
    words = ("--config", str(write(tree, "config/Mine_LT/stage_1.py")), *SMALL)
    assert main_run((*words, "epochs=0")) == 0
    start = best("logs/Mine_LT/stage1")["memory.centroids"]
    assert start.std() > 0.3  # as the loss itself draws them
    assert main_run((*words, "epochs=1", "--fresh")) == 0
    assert not torch.equal(best("logs/Mine_LT/stage1")["memory.centroids"], start)


def test_logits_and_checkpoints_are_imported_with_a_published_config(capsys: pytest.CaptureFixture[str]) -> None:
    """Logits need no data root: their lists lie below the working directory, and no image is read."""
    root = write_images("Mine_LT", size=16)
    write(small(form()), "config/Mine_LT/stage_1.py")
    words = ("--config", "config/Mine_LT/stage_1.py", *SMALL[:2], "--device", "cpu")
    assert main_run((*words, "--data-root", "images", "epochs=0", "--output_logits")) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("as published, ")]
    assert len(told) == 2
    logits = "logs/Mine_LT/stage1/logits_open.npz"
    checkpoint = "logs/Mine_LT/stage1/final_model_checkpoint.pth"
    assert main(("import", checkpoint, *words, "--data-root", "images", "--out", "of_weights")) == 0
    weights_out = capsys.readouterr().out
    shutil.rmtree(root)
    assert main(("import", logits, *words, "--out", "of_logits")) == 0
    for out in (weights_out, capsys.readouterr().out):
        assert [line for line in out.splitlines() if line.startswith("as published, ")] == told
