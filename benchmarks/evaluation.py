"""What follows the forward pass: predictions stored, metrics computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import plain_metrics
from benchmarks.long_tail import long_tailed_labels
from benchmarks.rows import Case, Row
from oltr.contracts import OPEN
from oltr.metrics.calibration import calibration
from oltr.metrics.closed import closed_set
from oltr.metrics.open_set import at_threshold
from oltr.metrics.ranking import ranking
from oltr.metrics.shots import shot_rule
from oltr.prediction_writer import PredictionWriter

Array = NDArray[Any]


def shot_groups(classes: int) -> dict[str, NDArray[np.bool_]]:
    counts = np.bincount(long_tailed_labels(images=115 * classes, classes=classes))
    return shot_rule("thirds").groups(counts)


def closed(folder: Path, *, images: int, classes: int) -> Case:
    chance, groups = np.random.default_rng(0), shot_groups(classes)
    labels = np.arange(images) % classes
    logits = chance.standard_normal((images, classes), dtype=np.float32)
    logits[np.arange(images), labels] += 3
    keys = ("accuracy", *groups, "macro_f1", "weighted_f1", "balanced_accuracy", "worst_class", "harmonic_mean")
    keys += ("geometric_mean", "top5")
    return Case(
        ours=lambda: closed_set(logits, labels, groups),
        twin=lambda: plain_metrics.closed_set(logits, labels, groups),
        facts=lambda result: {key: result[key] for key in keys},
        tolerance=1e-9,
    )


def calibrated(folder: Path, *, images: int, classes: int) -> Case:
    groups, labels = shot_groups(classes), np.arange(images) % classes
    logits = np.random.default_rng(0).standard_normal((images, classes), dtype=np.float32)
    logits[np.arange(images), labels] += 6
    keys = ("ece", "brier", "nll", "confidence")
    return Case(
        ours=lambda: calibration(logits, labels, groups),
        twin=lambda: {key: {"overall": value} for key, value in plain_metrics.calibration(logits, labels).items()},
        facts=lambda result: {key: result[key]["overall"] for key in keys},
        tolerance=1e-9,
    )


def open_f(folder: Path, *, images: int, classes: int, open_images: int) -> Case:
    chance, groups = np.random.default_rng(0), shot_groups(classes)
    labels = np.concatenate([np.arange(images) % classes, np.full(open_images, OPEN)])
    guesses = chance.integers(classes, size=len(labels))
    predictions = np.where((chance.random(len(labels)) < 0.6) & (labels != OPEN), labels, guesses)
    unknown = chance.random(len(labels)) < np.where(labels == OPEN, 0.7, 0.1)
    keys = ("accuracy", "known_acceptance", "open_set_accuracy", "f_oltr2020", "f_oltr2019", "f_micro", "f1_macro_k1")
    return Case(
        ours=lambda: at_threshold(predictions, labels, unknown, groups),
        twin=lambda: plain_metrics.at_threshold(predictions, labels, unknown, groups),
        facts=lambda result: {key: result[key] for key in keys},
        tolerance=1e-9,
    )


def ranks(folder: Path, *, images: int, open_images: int) -> Case:
    """Scores of limited precision, so that some are equal."""
    chance = np.random.default_rng(0)
    known, strangers = (chance.normal(middle, 1, count).round(4) for middle, count in ((0, images), (1, open_images)))
    correct = chance.random(images) < 0.6
    keys = ("auroc", "oscr", "aupr_in", "aupr_out", "fpr_at_95_known", "frr_at_95_open", "detection_accuracy")
    return Case(
        ours=lambda: ranking(known, correct, strangers),
        twin=lambda: plain_metrics.ranking(known, correct, strangers),
        facts=lambda result: {key: result[key] for key in keys},
        tolerance=1e-9,
    )


def prediction_store(folder: Path, *, images: int, classes: int, feature_dim: int, batch: int) -> Case:
    pool = [(torch.randn(batch, feature_dim), torch.randn(batch, classes)) for _ in range(4)]
    steps = images // batch
    labels = torch.arange(batch) % classes

    def ours() -> Path:
        path = folder / "predictions.h5"
        counts, names = np.ones(classes, dtype=np.int64), [str(k) for k in range(classes)]
        with PredictionWriter(
            path, num_classes=classes, feature_dim=feature_dim, train_counts=counts, class_names=names, provenance={}
        ) as writer:
            for step in range(steps):
                ids = [f"{step}/{place}" for place in range(batch)]
                writer.add("test", *pool[step % len(pool)], labels, ids)
        return path

    def twin() -> Path:
        features, logits = torch.empty(0, feature_dim), torch.empty(0, classes)
        known, ids = torch.empty(0, dtype=torch.int64), []
        for step in range(steps):
            more_features, more_logits = pool[step % len(pool)]
            features, logits = torch.cat([features, more_features]), torch.cat([logits, more_logits])
            known = torch.cat([known, labels])
            ids += [f"{step}/{place}" for place in range(batch)]
        path = folder / "predictions.npz"
        np.savez(path, features=features.numpy(), logits=logits.numpy(), labels=known.numpy(), ids=np.array(ids))
        return path

    return Case(ours=ours, twin=twin, facts=stored)


def stored(path: Path) -> dict[str, Any]:
    """The arrays in the file of either contender."""
    names = ("features", "logits", "labels")
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {**{name: arrays[name] for name in names}, "ids": arrays["ids"].tolist()}
    with h5py.File(path, "r") as file:
        part = file["test"]
        return {**{name: part[name][:] for name in names}, "ids": part["ids"].asstr()[:].tolist()}


ROWS = (
    Row(
        name="closed_set",
        what="all closed-set metrics of {images:,} x {classes:,} logits",
        twin="a Python loop over the images, each one's classes sorted",
        make=closed,
        full={"images": 50_000, "classes": 1000},
        tiny={"images": 40, "classes": 7},
    ),
    Row(
        name="calibration",
        what="all calibration metrics, overall and by shot group, of {images:,} x {classes:,} logits",
        twin="a Python loop over the images, overall only",
        make=calibrated,
        full={"images": 50_000, "classes": 1000},
        tiny={"images": 40, "classes": 7},
    ),
    Row(
        name="open_f",
        what="open-set metrics at a threshold, overall and by shot group: {images:,} known images of {classes:,} "
        "classes, {open_images:,} open ones",
        twin="Python loops over the images",
        make=open_f,
        full={"images": 50_000, "classes": 1000, "open_images": 10_000},
        tiny={"images": 60, "classes": 6, "open_images": 20},
    ),
    Row(
        name="ranking",
        what="all ranking metrics of {images:,} known and {open_images:,} open scores",
        twin="a pass over the scores for each threshold",
        make=ranks,
        full={"images": 50_000, "open_images": 10_000},
        tiny={"images": 60, "open_images": 20},
        heavy=True,
    ),
    Row(
        name="prediction_store",
        what="{images:,} images' logits ({classes:,}) and features ({feature_dim}) to a file, batch by batch",
        twin="torch.cat in the loop, then np.savez",
        make=prediction_store,
        full={"images": 20_096, "classes": 1000, "feature_dim": 512, "batch": 128},
        tiny={"images": 12, "classes": 3, "feature_dim": 2, "batch": 4},
        per="images",
        memory=True,
    ),
)
