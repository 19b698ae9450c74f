"""What a trained stage comes to: its predictions stored, and the report that is computed from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from oltr import checkpoint, config
from oltr.contracts import UserError
from oltr.evaluation import evaluate
from oltr.experiment import Experiment, scorers_of
from oltr.folder import RunFolder
from oltr.metrics.shots import shot_rule
from oltr.networks.weights import load_strict
from oltr.plugins import nearest
from oltr.prediction_writer import PredictionWriter
from oltr.predictions import Predictions
from oltr.report import write
from oltr.stage_config import StageConfig


def report(
    experiment: Experiment,
    folder: RunFolder,
    target: Path,
    *,
    with_open: bool = True,
    best: Mapping[str, Any] | None = None,
) -> None:
    """Fill the prediction store from the best weights, then everything that is computed from it.

    ``best`` is what `best.pt` would hold, where the weights are not the run's own.
    """
    everyone = experiment.processes
    if best is None:
        best = everyone.once(lambda: checkpoint.load(folder.best, ("pair", "epoch", "facts")))
    load_strict(experiment.pair, best["pair"], str(folder.best))
    facts = json.loads(best["facts"])
    if everyone.first:
        history = folder.history()
        facts["best_epoch"] = best["epoch"]
        facts["images_seen"] = sum(line["images"] for line in history)
        facts["seconds"] = round(sum(line["seconds"] for line in history), 3)
    predict(experiment, target / "predictions.h5", facts, with_open=with_open)
    if everyone.first:
        write_report(target, experiment.config, folder)


def write_report(target: Path, stage: StageConfig, folder: RunFolder) -> None:
    """Score the predictions in ``target`` and write the report beside them; needs no network, weights or data."""
    predictions = Predictions.open(target / "predictions.h5")
    settings = stage.evaluation
    result = evaluate(
        predictions,
        scorers=scorers_of(stage, predictions.num_classes, predictions.train_counts),
        rule=shot_rule(**settings.shots),
        acceptance=settings.acceptance,
        fixed=settings.fixed,
        run=describe(stage, folder, predictions.provenance),
    )
    write(result, target, folder.history())


def report_again(path: Path) -> None:
    """Recompute a run's report from its stored predictions."""
    folder, scored_by = RunFolder(path if (path / "config.yaml").is_file() else path.parent), _scored_by(path)
    if not path.is_dir() or (not folder.started and scored_by is None):
        runs = sorted(str(found.parent) for found in path.rglob("config.yaml"))
        raise UserError(f"{path}: no run's folder: it has no config.yaml{nearest(str(path), runs)}")
    write_report(path, scored_by or config.load(folder.config), folder)


def _scored_by(path: Path) -> StageConfig | None:
    """The config of the report that stands there: --test may have scored otherwise than the run did."""
    earlier = path / "report.json"
    try:
        return config.parse(json.loads(earlier.read_text(encoding="utf-8"))["run"]["config"], str(earlier))
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return None  # none, or a damaged one: the run's own config makes it again


def predict(experiment: Experiment, path: Path, facts: Mapping[str, Any], *, with_open: bool) -> None:
    """One forward pass over validation, test and open set into the store."""
    splits, pair = experiment.splits, experiment.pair
    centroids, source = None, None
    if pair.memory is not None:
        centroids, source = pair.memory.centroids.detach().cpu().numpy(), "memory"
    elif any(getattr(scorer, "needs_centroids", False) for scorer in experiment.scorers().values()):
        centroids, source = experiment.class_means().cpu().numpy(), "class means"
    parts = {"val": splits.val, "test": splits.test}
    if splits.open is not None and with_open:
        parts["open"] = splits.open
    with ExitStack() as stack:
        writer = None
        if experiment.processes.first:
            writer = stack.enter_context(
                PredictionWriter(
                    path,
                    num_classes=splits.num_classes,
                    feature_dim=experiment.feature_dim,
                    train_counts=splits.train_counts,
                    class_names=splits.class_names,
                    provenance=dict(facts),
                    centroids=centroids,
                    centroids_source=source,
                )
            )
        for name, images in parts.items():
            for outputs, labels, indices in experiment.passes(images, name):
                if writer is not None:
                    ids = [images.ids[index] for index in indices.tolist()]
                    writer.add(name, outputs.features, outputs.logits, labels, ids)


def describe(stage: StageConfig, folder: RunFolder, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the report says of the run itself."""
    return {
        "name": folder.name,
        "dataset": stage.data.name,
        "stage": stage.stage.name,
        "config": config.plain(stage),
        "seed": stage.seed,
        "epochs": stage.epochs,
        "best_epoch": facts["best_epoch"] if stage.epochs else None,
        "selected_by": "validation accuracy" if stage.keep == "best" else "last epoch",
        "images_seen": facts["images_seen"],
        "seconds": facts["seconds"],
        "command": facts["command"],
    }
