from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from oltr.contracts import OPEN, Outputs
from oltr.evaluation import evaluate
from oltr.metrics.shots import shot_rule
from oltr.prediction_writer import PredictionWriter
from oltr.predictions import Predictions


class Confidence:
    def __call__(self, outputs: Outputs) -> Tensor:
        return -outputs.logits.softmax(dim=1).amax(dim=1)


class FeatureNorm:
    def __call__(self, outputs: Outputs) -> Tensor:
        return -outputs.features.norm(dim=1)


class Prototypes:
    needs_centroids = True

    def __call__(self, outputs: Outputs) -> Tensor:
        raise AssertionError("there are no centroids to call this with")


def scored_images(classes: int, part: str, seed: int) -> dict[str, Any]:
    """Eight images a class whose logits tell the class more or less."""
    random = np.random.default_rng([seed, len(part), ord(part[0])])
    labels = np.full(8 * classes // 2, OPEN) if part == "open" else np.arange(8 * classes) % classes
    logits = random.normal(size=(len(labels), classes))
    if part != "open":
        logits[np.arange(len(labels)), labels] += 2.5 - 1.5 * labels / classes
    features = np.abs(logits).max(axis=1, keepdims=True) * [[1.0, 2.0]]
    return {
        "features": features,
        "logits": logits,
        "labels": labels,
        "ids": [f"{part}/{i}" for i in range(len(labels))],
    }


@pytest.fixture
def make_report(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def make(
        *, classes: int = 6, unknown: bool = True, seed: int = 0, names: list[str] | None = None, **run: Any
    ) -> dict[str, Any]:
        path = tmp_path / "predictions.h5"
        with PredictionWriter(
            path,
            num_classes=classes,
            feature_dim=2,
            train_counts=np.geomspace(400, 5, classes).astype(int),
            class_names=names or [f"class {index}" for index in range(classes)],
            provenance={"packages": {"torch": "2"}},
        ) as writer:
            for part in ("val", "test", "open") if unknown else ("val", "test"):
                writer.add(part, **scored_images(classes, part, seed))
        scorers = {"prototypes": Prototypes(), "msp": Confidence(), "norm": FeatureNorm()}
        facts = {"name": f"Set/stage_1/seed_{seed}", "seed": seed, "config": {"epochs": 3, "seed": seed}} | run
        return evaluate(
            Predictions.open(path), scorers=scorers, rule=shot_rule(), acceptance=0.9, fixed={"msp": 0.3}, run=facts
        )

    return make
