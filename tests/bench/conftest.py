"""A suite small enough to run in a test: three characters' worth of images, two epochs a stage."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

STAGE_1 = """\
stage: feature
data: {name: glyphs, known_classes: 4, open_classes: 2, max_images: 16, min_images: 3, image_size: 12,
       val_images: 3, test_images: 4, open_images: 3}
train_transform: plain
test_transform: plain
sampler: shuffled
backbone: {name: small_resnet10, width: 2}
classifier: dot_product
optimizer: {name: sgd, lr: {name: cosine, value: 0.05}, momentum: 0.9}
losses: [cross_entropy]
epochs: 2
batch_size: 8
evaluation: {scorers: [entropy], shots: {rule: oltr, many: 12, few: 4}}
"""
STAGE_2 = STAGE_1.replace("stage: feature", "stage: meta_embedding\ninit_from: stage_1").replace(
    "classifier: dot_product", "classifier: meta_embedding\nmemory: {}"
)
SUITE = """\
name: Tiny-LT
methods:
  plain: {config: ../Tiny_LT/stage_1.yaml}
  OLTR: {config: ../Tiny_LT/stage_2.yaml}
seeds: [0, 1]
evaluation:
  scorers: [msp, energy]
  thresholds: [{name: known_acceptance, rate: 0.9}]
baseline: plain
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in: `suites/tiny.yaml` has the methods `Tiny_LT/stage_1.yaml` and `stage_2.yaml`."""
    for folder in ("Tiny_LT", "suites"):
        (tmp_path / folder).mkdir()
    (tmp_path / "Tiny_LT/stage_1.yaml").write_text(STAGE_1)
    (tmp_path / "Tiny_LT/stage_2.yaml").write_text(STAGE_2)
    (tmp_path / "suites/tiny.yaml").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    if "OMP_NUM_THREADS" not in os.environ:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path
