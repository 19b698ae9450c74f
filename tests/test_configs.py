"""Every config that we ship: checked, told what it is, and run on small data of the layout that it asks for."""

from __future__ import annotations

import json
import pickle
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from oltr import config
from oltr.arguments import Parser, add_run, parse
from oltr.cli import main
from oltr.plugins import BACKBONES
from oltr.run import Request, run_stage

ROOT = Path(__file__).parent.parent
PATHS = sorted((ROOT / "config").glob("*_LT/*.yaml"))
NAMES = [f"{path.parent.name}/{path.stem}" for path in PATHS]
STAGES = {"stage_1", "stage_1_cfl", "stage_2_meta_embedding"}
PHOTOGRAPHS = [f"{key}=32" for key in ("train_transform.size", "test_transform.size")] + ["test_transform.resize=36"]
SMALLER = {
    "Glyphs_LT": [
        *[f"data.{key}_classes={count}" for key, count in (("known", 4), ("open", 2))],
        *[
            f"data.{key}_images={count}"
            for key, count in (("max", 12), ("val", 2), ("test", 2), ("open", 2), ("far", 6), ("open_val", 2))
        ],
        "data.open_val_classes=1",
        *["data.image_size=12", "batch_size=8", "backbone.width=2"],
    ],
    "ImageNet_LT": [*PHOTOGRAPHS, "batch_size=4"],
    "Places_LT": [*PHOTOGRAPHS, "batch_size=2"],
    "CIFAR100_LT": ["data.imbalance_factor=2", "batch_size=32"],
    "FashionMNIST_LT": ["data.imbalance_factor=4", "batch_size=8", "backbone.width=2"],
}
"""Overrides that leave everything of a config in place, but less of it."""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where all runs of this file go, so that a first stage runs once; removed at the end, for its size."""
    folder = tmp_path_factory.mktemp("runs")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs in lists, CIFAR-100 and Fashion-MNIST as their files are laid out, with noise for images."""
    root, generator = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name in ("ImageNet_LT", "Places_LT"):
        _photographs(root, name, generator)
    _cifar_100(root / "cifar-100-python", generator)
    _fashion_mnist(root / "FashionMNIST" / "raw", generator)
    return root


def _photographs(root: Path, name: str, generator: np.random.Generator) -> None:
    sizes = {"train": [5, 3, 2], "val": [1, 1, 1], "test": [1, 1, 1], "open": [2]}
    (root / name).mkdir()
    for split, counts in sizes.items():
        lines = []
        for label, count in enumerate(counts):
            for number in range(count):
                path = f"{name}/{split}_{label}_{number}.jpg"
                Image.fromarray(_noise(generator, 40, 48, 3)).save(root / path)
                lines.append(f"{path} {label}")
        (root / f"{name}_{split}.txt").write_text("\n".join(lines) + "\n")


def _cifar_100(folder: Path, generator: np.random.Generator) -> None:
    folder.mkdir()
    (folder / "meta").write_bytes(pickle.dumps({b"fine_label_names": [f"class {label}" for label in range(100)]}))
    for split, each in (("train", 4), ("test", 1)):
        labels = list(range(100)) * each
        batch = {b"data": _noise(generator, len(labels), 3072), b"fine_labels": labels}
        (folder / split).write_bytes(pickle.dumps(batch))


def _fashion_mnist(folder: Path, generator: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    for split, each in (("train", 8), ("t10k", 2)):
        labels = np.tile(np.arange(10, dtype=np.uint8), each)
        for kind, values in (("images-idx3", _noise(generator, len(labels), 28, 28)), ("labels-idx1", labels)):
            header = bytes((0, 0, 8, values.ndim)) + np.array(values.shape, dtype=">u4").tobytes()
            (folder / f"{split}-{kind}-ubyte").write_bytes(header + values.tobytes())


def _noise(generator: np.random.Generator, *shape: int) -> NDArray[np.uint8]:
    return generator.integers(256, size=shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Weights as the first stage on Places-LT starts from: its network's, and a classifier's that it leaves out.

    Residual branches end in 0, as those of a network that has hardly been trained explode at rest.
    """
    state = BACKBONES.build("resnet152", {}).state_dict()
    state |= {key: torch.zeros_like(value) for key, value in state.items() if key.endswith("bn3.weight")}
    state |= {"fc.weight": torch.zeros(9, 2048), "fc.bias": torch.zeros(9)}
    path = tmp_path_factory.mktemp("weights") / "resnet152.pth"
    torch.save(state, path)
    yield path
    path.unlink()


def smaller(path: Path, pretrained: Path) -> tuple[str, ...]:
    """Overrides for a config, and for the stage that it starts from."""
    least = ["epochs=1", "workers=0", *SMALLER[path.parent.name]]
    weights = [f"stage.weights={pretrained}"] if path.parent.name == "Places_LT" else []
    if config.load(path).init_from is None:
        return (*least, *weights)
    before = [text for text in [*least, *weights] if not text.startswith(config.SHARED_WITH_PREDECESSOR)]
    return (*least, *(f"init_from.{text}" for text in before))


def test_the_configs_are_those_that_are_promised() -> None:
    found = {folder.name: {path.stem for path in folder.glob("*.yaml")} for folder in (ROOT / "config").iterdir()}
    assert found.pop("suites") == {"glyphs", "fashion_mnist_bfloat16"}
    with_cfl = STAGES | {"stage_2_cfl_meta_embedding"}
    assert found == {
        **dict.fromkeys(("Glyphs_LT", "ImageNet_LT", "Places_LT"), with_cfl),
        **dict.fromkeys(("CIFAR100_LT", "FashionMNIST_LT"), STAGES),
    }


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_a_config_opens_with_what_it_costs_and_its_command(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header, _, _ = path.read_text(encoding="utf-8").partition("\n\n")
    lines = [line.removeprefix("# ").removeprefix("#") for line in header.splitlines()]
    assert all(line.startswith("#") for line in header.splitlines())
    assert lines[0].endswith(".")
    marks = [next((line for line in lines if line.startswith(f"{word}: ")), "") for word in ("Reproduces", "Costs")]
    assert all(len(mark) > 25 for mark in marks), marks
    commands = [line.removeprefix("Command: ") for line in lines if line.startswith("Command: ")]
    assert len(commands) == 1
    words = shlex.split(commands[0])
    assert words[:2] == ["python", "main.py"]
    chosen = parse(add_run(Parser(prog="main.py")), words[2:])
    assert chosen.config == path.relative_to(ROOT)
    assert (chosen.data_root is None) == (path.parent.name == "Glyphs_LT")
    monkeypatch.chdir(ROOT)
    config.load(chosen.config, chosen.overrides)


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_a_config_is_valid(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(path)]) == 0
    assert capsys.readouterr().out.startswith(f"{path} is valid")


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_a_chain_sees_the_same_images(path: Path) -> None:
    stage = config.load(path)
    before = config.predecessor(path, stage)
    assert (before is None) == ("stage_1" in path.stem)
    if before is not None:
        first = config.load(before)
        assert ("cfl" in before.stem) == ("cfl" in path.stem)
        assert (first.data, first.test_transform, first.cache) == (stage.data, stage.test_transform, stage.cache)
        assert first.backbone.name == stage.backbone.name
        assert first.backbone.options.items() <= {"fc": True, **stage.backbone.options}.items()


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_a_config_runs(path: Path, out: Path, data_root: Path, pretrained: Path) -> None:
    overrides = smaller(path, pretrained)
    folder = run_stage(Request(config=path, overrides=overrides, out=out, data_root=data_root, device="cpu"))
    report = json.loads(folder.report.read_text(encoding="utf-8"))
    assert 0 <= report["closed"]["accuracy"] <= 1
    assert (report["open"] is None) == (path.parent.name == "CIFAR100_LT")
    assert report["run"]["images_seen"] > 0
    assert [line["epoch"] for line in folder.history()] == [0]
    origin = report["provenance"]["starts_from"]
    if "stage_2" in path.stem:
        assert origin["run"] == f"{path.parent.name}/{config.load(path).init_from}/seed_0"
    else:
        assert origin is None
    folder.last.unlink()  # with its optimizer the largest network takes 480 MB
