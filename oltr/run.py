"""One stage from config to report, and the chain of stages that a config needs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from oltr import checkpoint, config, plugins
from oltr.contracts import Progress, UserError
from oltr.evaluation import evaluate
from oltr.experiment import Experiment, scorers_of
from oltr.folder import RunFolder
from oltr.metrics.closed import class_accuracies, group_means
from oltr.metrics.shots import ShotRule, shot_rule
from oltr.networks.weights import load_strict
from oltr.parallel import choose_device, forward_on
from oltr.plugins import nearest
from oltr.prediction_writer import PredictionWriter
from oltr.predictions import Predictions
from oltr.provenance import collect
from oltr.report import write
from oltr.stage_config import StageConfig
from oltr.state import TrainingState
from oltr.training import Batch, EpochEnd, fit

log = logging.getLogger("oltr")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asks for: a config, where things lie, and what to do with an earlier run."""

    config: Path
    overrides: tuple[str, ...] = ()
    out: Path = Path("runs")
    data_root: Path | None = None
    device: str = "auto"
    seed: int | None = None
    resume: bool = False
    fresh: bool = False
    command: str = ""


def run_stage(request: Request) -> RunFolder:
    """Train and evaluate a stage, and before it those it starts from; what is done already is not done again."""
    stage, folder = open_stage(request)
    plain, going_on = config.plain(stage), folder.started and not request.fresh
    folder.demand_writable()
    if going_on:
        folder.demand_same(plain)
        if not folder.trained and not request.resume:
            raise UserError(
                f"{folder.path} holds a run that did not end: --resume goes on with it, --fresh runs it anew"
            )
    before = run_before(request, stage)
    weights = None if before is None else best_weights(before)
    origin = None
    if before is not None and weights is not None:
        origin = {"run": before.name, "sha256": checkpoint.weights_checksum(weights)}
    if going_on:
        folder.demand_origin(origin)
    if going_on and folder.trained:
        log.info("%s is done (--fresh on its config runs it again)", folder.path)
        return folder
    experiment = experiment_of(request, stage)
    experiment.rehearse()
    if not (going_on and folder.last.is_file()):
        experiment.prepare(weights)
    if not going_on:
        folder.begin(plain, origin)  # only now, when all that a user may have mistaken has been built
    log.info("%s: %s", folder.path, "going on" if going_on else f"{stage.epochs} epochs")
    train(experiment, folder, request.command)
    report(experiment, folder, folder.path)
    return folder


def best_weights(folder: RunFolder) -> dict[str, Tensor]:
    """The state dict that a finished run hands on."""
    return dict(checkpoint.load(folder.best, ("pair",))["pair"])


def run_before(request: Request, stage: StageConfig) -> RunFolder | None:
    """The finished stage that ``stage`` starts from, run now if it has not been."""
    path = config.predecessor(request.config, stage)
    if path is None:
        return None
    _, passed_on = config.split_overrides(request.overrides)
    folder = RunFolder.of(path, out=request.out, seed=stage.seed)
    if not folder.trained:
        experiment_of(request, stage).rehearse()  # a mistake shows now, not when the first stage has been trained
        log.info("%s starts from %s, which has not been run: running it first", request.config, path)
    return run_stage(replace(request, config=path, overrides=tuple(passed_on), fresh=False, seed=stage.seed))


def test_stage(request: Request, *, with_open: bool) -> Path:
    """Evaluate the best weights of a trained stage into a folder of its own; nothing else in the run is touched."""
    stage, folder = open_stage(request)
    if not folder.best.is_file():
        raise UserError(f"{folder.path}: nothing to evaluate: no {folder.best.name} there; run without --test first")
    folder.demand_same(config.plain(stage), besides=("evaluation",))
    target = folder.path / ("test_open" if with_open else "test")
    report(experiment_of(request, stage), folder, target, with_open=with_open)
    return target


def open_stage(request: Request) -> tuple[StageConfig, RunFolder]:
    """The checked config of a request, and the folder of its run."""
    stage = config.load(request.config, request.overrides)
    if request.seed is not None:
        stage = replace(stage, seed=request.seed)
    config.check(stage, str(request.config))
    try:
        shot_rule(**stage.evaluation.shots)
    except UserError as error:
        raise UserError(f"{request.config}: evaluation.shots: {error}") from error
    return stage, RunFolder.of(request.config, out=request.out, seed=stage.seed)


def experiment_of(request: Request, stage: StageConfig) -> Experiment:
    return Experiment(
        config=stage,
        place=str(request.config),
        device=choose_device(request.device),
        data_root=request.data_root,
        cache_folder=request.out / "cache",
    )


def train(experiment: Experiment, folder: RunFolder, command: str) -> None:
    """Train the prepared stage to its end from wherever its folder stands, keeping the best and the last state."""
    stage, pair = experiment.config, experiment.pair
    facts = collect(stage, experiment.device, experiment.splits.manifest, command)
    facts["starts_from"] = folder.started_from()
    state = TrainingState(folder=folder, keep=stage.keep, facts=facts)
    optimizer, settings = experiment.optimizer()
    sampler, batches, losses = experiment.sampler(), experiment.train_batches(), experiment.losses()
    rule = shot_rule(**stage.evaluation.shots)
    if folder.last.is_file():
        state.restore(pair, optimizer, sampler)
    else:
        folder.keep_history(0)
    if stage.epochs == 0:
        state.offer(pair, -1, 0.0)

    def epoch_batches(progress: Progress) -> Iterable[Batch]:
        indices = sampler.indices(progress)
        epoch = batches.epoch(indices, epoch=progress.epoch, drop_last=True)
        total = batches.steps(len(indices), drop_last=True)
        return tqdm(epoch, total=total, desc=f"epoch {progress.epoch + 1}/{progress.epochs}", leave=False, disable=None)

    for end in fit(
        network=pair,
        forward=forward_on(pair, experiment.device),
        losses=losses,
        optimizer=optimizer,
        settings=settings,
        batches=epoch_batches,
        epochs=stage.epochs,
        start=state.epochs_done,
        clip_norm=plugins.SCHEDULES.scalar(stage.clip_norm),
    ):
        waited, batches.wait_seconds = batches.wait_seconds, 0.0
        val = validate(experiment, rule)
        state.offer(pair, end.progress.epoch, val["accuracy"])
        folder.append(record(end, val, waited, experiment.group_names))
        state.save(pair, optimizer, sampler, end)
        log.info("%s", summary(end, val))


def validate(experiment: Experiment, rule: ShotRule) -> dict[str, Any]:
    """Micro accuracy on the validation set, and the accuracy of each shot group."""
    labels, predictions = experiment.val_predictions()
    accuracies = class_accuracies(labels, predictions, experiment.splits.num_classes)
    groups = rule.groups(experiment.splits.train_counts)
    return {"accuracy": float((labels == predictions).mean()), **group_means(accuracies, groups)}


def report(experiment: Experiment, folder: RunFolder, target: Path, *, with_open: bool = True) -> None:
    """Fill the prediction store from the best weights, then everything that is computed from it."""
    best = checkpoint.load(folder.best, ("pair", "epoch", "facts"))
    load_strict(experiment.pair, best["pair"], str(folder.best))
    facts = json.loads(best["facts"])
    predict(experiment, target / "predictions.h5", facts, with_open=with_open)
    run = describe(experiment.config, folder, facts, best["epoch"])
    write_report(target, experiment.config, run, folder.history())


def write_report(
    target: Path, stage: StageConfig, run: Mapping[str, Any], history: Sequence[Mapping[str, Any]]
) -> None:
    """Score the predictions in ``target`` and write the report beside them; needs no network and no data."""
    predictions = Predictions.open(target / "predictions.h5")
    settings = stage.evaluation
    result = evaluate(
        predictions,
        scorers=scorers_of(stage, predictions.num_classes, predictions.train_counts),
        rule=shot_rule(**settings.shots),
        acceptance=settings.acceptance,
        fixed=settings.fixed,
        run=run,
    )
    write(result, target, history)


def report_again(path: Path) -> None:
    """Recompute a run's report from its stored predictions."""
    folder = RunFolder(path if (path / "config.yaml").is_file() else path.parent)
    if not folder.started or not path.is_dir():
        runs = sorted(str(found.parent) for found in path.rglob("config.yaml"))
        raise UserError(f"{path}: no run's folder: it has no config.yaml{nearest(str(path), runs)}")
    stage = config.load(folder.config)
    best = checkpoint.load(folder.best, ("epoch", "facts"))
    write_report(path, stage, describe(stage, folder, json.loads(best["facts"]), best["epoch"]), folder.history())


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
    with PredictionWriter(
        path,
        num_classes=splits.num_classes,
        feature_dim=experiment.feature_dim,
        train_counts=splits.train_counts,
        class_names=splits.class_names,
        provenance=dict(facts),
        centroids=centroids,
        centroids_source=source,
    ) as writer:
        for name, images in parts.items():
            for outputs, labels, indices in experiment.passes(images, name):
                ids = [images.ids[index] for index in indices.tolist()]
                writer.add(name, outputs.features, outputs.logits, labels, ids)


def describe(stage: StageConfig, folder: RunFolder, facts: Mapping[str, Any], best_epoch: int) -> dict[str, Any]:
    """What the report says of the run itself."""
    history = folder.history()
    return {
        "name": folder.name,
        "dataset": stage.data.name,
        "stage": stage.stage.name,
        "config": config.plain(stage),
        "seed": stage.seed,
        "epochs": stage.epochs,
        "best_epoch": best_epoch if stage.epochs else None,
        "selected_by": "validation accuracy" if stage.keep == "best" else "last epoch",
        "test_selected": False,
        "images_seen": sum(line["images"] for line in history),
        "seconds": round(sum(line["seconds"] for line in history), 3),
        "command": facts["command"],
    }


def record(end: EpochEnd, val: Mapping[str, Any], waited: float, groups: Sequence[str]) -> dict[str, Any]:
    """An epoch as one line of the log."""
    settings = dict(zip(groups, end.settings, strict=True))
    return {
        "epoch": end.progress.epoch,
        "epochs": end.progress.epochs,
        "lr": {name: values["lr"] for name, values in settings.items() if "lr" in values},
        "settings": settings,
        "loss": end.losses,
        "val": val,
        "images": end.images,
        "seconds": round(end.seconds, 3),
        "wait_seconds": round(waited, 3),
    }


def summary(end: EpochEnd, val: Mapping[str, Any]) -> str:
    groups = ", ".join(f"{name} {val[name]:.3f}" for name in ("many", "medium", "few") if val[name] is not None)
    rate = end.images / max(end.seconds, 1e-9)
    return (
        f"epoch {end.progress.epoch + 1}/{end.progress.epochs}: loss {end.losses['total']:.4f}, "
        f"val accuracy {val['accuracy']:.3f} ({groups}), {rate:.0f} images/s"
    )
