"""A benchmark small enough to train in a test: five characters, 12 pixels, two epochs a stage."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from oltr.plain_data import write_yaml
from oltr.run import Request

GLYPHS = {
    "name": "glyphs",
    "known_classes": 5,
    "open_classes": 2,
    "max_images": 24,
    "min_images": 4,
    "image_size": 12,
    "val_images": 4,
    "test_images": 6,
    "open_images": 5,
    "open_val_classes": 1,
    "open_val_images": 4,
    "far_images": 6,
}
STAGE_1: dict[str, Any] = {
    "stage": "feature",
    "data": GLYPHS,
    "train_transform": {"name": "plain", "padding": 1},
    "test_transform": "plain",
    "sampler": "shuffled",
    "backbone": {"name": "small_resnet10", "width": 2, "dropout": 0.2},
    "classifier": "dot_product",
    "optimizer": {"name": "sgd", "lr": {"name": "cosine", "value": 0.05}, "momentum": 0.9, "weight_decay": 5e-4},
    "losses": [{"name": "cyclical_focal", "factor": 2}],
    "epochs": 3,
    "batch_size": 16,
    "evaluation": {
        "scorers": ["msp", "energy", "centroid_distance"],
        "thresholds": [{"name": "known_acceptance"}, {"name": "fixed", "scorer": "msp", "confidence": 0.3}],
        "shots": {"rule": "oltr", "many": 16, "few": 6},
    },
}
STAGE_2: dict[str, Any] = {
    **STAGE_1,
    "stage": {"name": "meta_embedding", "new": ["modulatedatt"]},
    "init_from": "stage_1",
    "backbone": {"name": "small_resnet10", "width": 2, "attention": True, "optim": {"lr": 0.01}},
    "classifier": "meta_embedding",
    "memory": {"optim": {"lr": 0.01}},
    "sampler": {"name": "class_aware", "images_per_class": 2},
    "losses": ["cross_entropy", {"name": "disc_centroids", "weight": 0.01}],
    "epochs": 2,
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """A folder with stage_1.yaml and stage_2.yaml of a tiny experiment."""
    folder = tmp_path / "Tiny_LT"
    folder.mkdir()
    for name, plain in (("stage_1", STAGE_1), ("stage_2", STAGE_2)):
        (folder / f"{name}.yaml").write_text(write_yaml(copy.deepcopy(plain)))
    return folder


@pytest.fixture
def request_for(configs: Path, tmp_path: Path) -> Callable[..., Request]:
    """A request for one of the tiny configs."""

    def make(name: str = "stage_1", *overrides: str, out: str = "runs", **changes: Any) -> Request:
        chosen = {"device": "cpu", **changes}
        return Request(config=configs / f"{name}.yaml", overrides=overrides, out=tmp_path / out, **chosen)

    return make
