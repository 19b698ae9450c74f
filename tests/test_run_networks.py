"""The plain script is the runner's experiment, to the last weight."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from oltr import checkpoint
from oltr.data.glyphs import Glyphs
from oltr.run import Request, run_stage
from run_networks import experiment

SMALL = {"known_classes": 4, "open_classes": 2, "max_images": 40, "min_images": 8, "image_size": 16}
CONFIG = Path(__file__).parent.parent / "config" / "Glyphs_LT" / "stage_2_cfl_meta_embedding.yaml"


def test_script_and_runner_train_the_same_weights(tmp_path: Path) -> None:
    told: list[str] = []
    pair = experiment(Glyphs(**SMALL), epochs=(2, 2), batch_size=16, seed=5, tell=told.append)
    assert [line.partition(" accuracy")[0] for line in told] == ["stage 1:", "stage 2:"]
    small = [f"data.{key}={value}" for key, value in SMALL.items()]
    short = [f"{stage}{key}" for stage in ("", "init_from.") for key in ("epochs=2", "batch_size=16", "keep=last")]
    folder = run_stage(Request(config=CONFIG, overrides=(*small, *short), out=tmp_path, device="cpu", seed=5))
    weights = checkpoint.load(folder.best, ("pair",))["pair"]
    assert weights.keys() == pair.state_dict().keys()
    for key, value in pair.state_dict().items():
        assert torch.equal(weights[key], value), key


def test_another_seed_trains_other_weights() -> None:
    one, two = (
        experiment(Glyphs(**SMALL), epochs=(1, 0), batch_size=16, seed=seed, tell=lambda line: None).state_dict()
        for seed in (0, 1)
    )
    assert not torch.equal(one["backbone.conv1.weight"], two["backbone.conv1.weight"])


def test_the_scores_are_of_the_trained_network(capsys: pytest.CaptureFixture[str]) -> None:
    experiment(Glyphs(**SMALL), epochs=(1, 1), batch_size=16)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("AUROC known / open 0." in line for line in lines)
