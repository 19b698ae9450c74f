from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from oltr.contracts import OPEN, HeldOut, Outputs
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


class Acceptance:
    label = "known_acceptance_0.9"
    rule = "90 % of the known validation images accepted"

    def __call__(self, held_out: HeldOut) -> float:
        return float(np.quantile(held_out.scores, 0.9, method="higher"))


class Fixed:
    label = "fixed_0.3"
    rule = "rejected below a confidence of 0.3"

    def __call__(self, held_out: HeldOut) -> float | None:
        return -0.3 if held_out.scorer == "msp" else None


class PerClass:
    label = "per_class"
    rule = "each class by its own median"

    def __call__(self, held_out: HeldOut) -> Any:
        median = np.median(held_out.scores)
        return median + np.linspace(0, 0.1, len(held_out.train_counts))


def scored_images(classes: int, part: str, seed: int) -> dict[str, Any]:
    """Eight images a class whose logits tell the class more or less; half as many open ones that tell none."""
    random = np.random.default_rng([seed, len(part), ord(part[0])])
    labels = np.arange(8 * classes) % classes if part in ("val", "test") else np.full(8 * classes // 2, OPEN)
    logits = random.normal(size=(len(labels), classes)) * (0.5 if part == "far" else 1)
    if part in ("val", "test"):
        logits[np.arange(len(labels)), labels] += 2.5 - 1.5 * labels / classes
    features = np.abs(logits).max(axis=1, keepdims=True) * [[1.0, 2.0]]
    return {
        "features": features,
        "logits": logits,
        "labels": labels,
        "ids": [f"{part}/{i}" for i in range(len(labels))],
    }


def build_report(
    path: Path,
    *,
    classes: int = 6,
    unknown: bool = True,
    far: bool = False,
    seed: int = 0,
    names: list[str] | None = None,
    scorers: dict[str, Any] | None = None,
    **run: Any,
) -> dict[str, Any]:
    """The report of a run of made-up predictions, stored at ``path``; ``run`` is what it says of itself."""
    with PredictionWriter(
        path,
        num_classes=classes,
        feature_dim=2,
        train_counts=np.geomspace(400, 5, classes).astype(int),
        class_names=names or [f"class {index}" for index in range(classes)],
        provenance={"packages": {"torch": "2"}, "data": {"sha256": "0a1b"}},
    ) as writer:
        for part in ("val", "test", *(["open"] if unknown else []), *(["far"] if far else [])):
            writer.add(part, **scored_images(classes, part, seed))
    facts = {"name": f"Set/stage_1/seed_{seed}", "seed": seed, "config": {"epochs": 3, "seed": seed}} | run
    return evaluate(
        Predictions.open(path),
        scorers=scorers or {"prototypes": Prototypes(), "msp": Confidence(), "norm": FeatureNorm()},
        rule=shot_rule(),
        thresholds=[Acceptance(), Fixed(), PerClass()],
        run=facts,
    )


@pytest.fixture
def make_report(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def make(**asked: Any) -> dict[str, Any]:
        return build_report(tmp_path / "predictions.h5", **asked)

    return make
