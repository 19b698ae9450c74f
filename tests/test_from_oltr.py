"""docs/from-oltr.md is true: its commands run one after the other, and what it says of keys and overrides holds."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from oltr import config
from oltr.cli import main
from tests.published.forms import FORMS, changed, form, place, write, write_images

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "from-oltr.md").read_text(encoding="utf-8")
SMALL = ("train_transform=plain", "test_transform=plain")
"""Images of 32 pixels as they are, in a third of the time."""
RUNS = ("run", "check", "show", "import")


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```\w*\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [shlex.split(line.replace("IMAGES", "images")) for block in blocks for line in block.splitlines()]


def write_small(stage: int, *, cfl: bool) -> None:
    """One of ImageNet-LT's published configs, for three classes and one epoch."""
    tree = form(stage=stage, cfl=cfl)
    training = {"num_classes": 3, "batch_size": 4, "num_workers": 0, "num_epochs": 1}
    tree["training_opt"] |= training
    tree["networks"]["classifier"]["params"]["num_classes"] = 3
    for network in tree["networks"].values():
        network["optim_params"]["lr"] = 0.001
    if stage == 2:
        tree["criterions"]["FeatureLoss"]["loss_params"]["num_classes"] = 3
    write(tree, place(False, stage, cfl))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of somebody who has used the original: configs, lists, images."""
    monkeypatch.chdir(tmp_path)
    for stage in (1, 2):
        for cfl in (False, True):
            write_small(stage, cfl=cfl)
    write_images("ImageNet_LT", size=32)
    return tmp_path


def test_its_commands_run_in_their_order(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = [words for words in commands() if words[0] == "oltr"]
    assert len(typed) == 15
    for words in typed:
        begin = [*words[1:], *(SMALL if words[1] in RUNS else ()), *(["--device=cpu"] if "images" in words else [])]
        assert main(begin) == 0, words
    assert "ImageNet_LT/stage_2_meta_embedding" in capsys.readouterr().out
    logs, runs = checkout / "logs" / "ImageNet_LT", checkout / "runs"
    assert {folder.name for folder in logs.iterdir()} == {"stage1", "meta_embedding", "stage1_cfl_G304"}
    for folder in logs.iterdir():
        stored = torch.load(folder / "final_model_checkpoint.pth", weights_only=True)
        assert set(stored) >= {"epoch", "best_epoch", "state_dict_best", "best_acc", "centroids"}
    with np.load(logs / "meta_embedding" / "logits_open.npz") as written:
        assert set(written) == {"logits", "labels", "paths"}
    exported = torch.load(checkout / "exported.pth", weights_only=True)["state_dict_best"]["feat_model"]
    theirs = torch.load(logs / "stage1" / "final_model_checkpoint.pth", weights_only=True)["state_dict_best"]
    assert all(torch.equal(exported[key], value) for key, value in theirs["feat_model"].items())
    assert (runs / "from_theirs" / "ImageNet_LT" / "stage_2_meta_embedding" / "seed_0" / "report.json").is_file()


def test_it_runs_under_torchrun(checkout: Path) -> None:
    (words,) = (words for words in commands() if words[0] == "torchrun")
    first = ["run", "--config", "config/ImageNet_LT/stage_1.py", "--data-root", "images", "--device", "cpu", *SMALL]
    assert main([*first, "epochs=0"]) == 0
    begin = [sys.executable, "-m", "torch.distributed.run", *words[1:3], str(ROOT / words[3]), *words[4:]]
    begin = [*begin, *SMALL, "--device", "cpu"]
    done = subprocess.run(begin, cwd=checkout, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "as published, closed set: accuracy" in done.stdout


def rows(title: str) -> list[list[str]]:
    table = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]


def test_a_quirk_is_left_by_its_override(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("config/ImageNet_LT/stage_2_cfl_meta_embedding.py")
    before = config.plain(config.load(path))
    tried = [found for kept, left in rows("What runs") for found in re.findall(r"`([^`]+)`", left)]
    assert len(tried) == 8
    for words in tried:
        overrides = [words] if "{" in words else shlex.split(words)
        assert main(["check", "--config", str(path), *overrides]) == 0, words
        capsys.readouterr()
        if words.startswith("--"):
            after = config.load(path, options={"gamma_neg": 3}).losses[0].options["gamma_neg"]
            assert after == int(words.rpartition(" ")[2])
        elif "rest" not in words:  # which is what holds here already
            assert config.plain(config.load(path, overrides)) != before, words


def test_every_key_of_the_published_configs_is_told() -> None:
    told = {key for row in rows("What the keys do") for key in re.findall(r"`[\w.…]*?(\w+)`", row[0])}
    for places, stage, cfl in FORMS:
        tree = form(places=places, stage=stage, cfl=cfl)
        networks: list[Any] = list(tree["networks"].values())
        assert set(tree["training_opt"]) | set(tree["memory"]) <= told
        for part in [*networks, *tree["criterions"].values()]:
            assert set(part) <= told


def test_a_key_that_is_not_told_is_warned_of(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rows("What the keys do")[-1][0] == "any other"
    path = write(changed(form(), training_opt__num_epoch=3), "config/ImageNet_LT/other.py")
    assert main(["check", "--config", str(path)]) == 0
    assert "training_opt.num_epoch has no effect: no such key is read" in capsys.readouterr().err
