"""One stage from config to report, and the chain of stages that a config needs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from oltr import checkpoint, config, plugins
from oltr.contracts import Progress, UserError
from oltr.experiment import Experiment
from oltr.folder import RunFolder, StaleRunError
from oltr.metrics.closed import class_accuracies, group_means
from oltr.metrics.shots import ShotRule, shot_rule
from oltr.parallel import choose_device, forward_on
from oltr.provenance import collect
from oltr.results import report
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
            raise StaleRunError(
                f"{folder.path} holds a run that did not end: --resume goes on with it, --fresh runs it anew"
            )
    experiment = experiment_of(request, stage)
    data = experiment.splits.manifest.get("sha256")
    if going_on:
        folder.demand_data(data)
    before = run_before(request, stage, data)
    weights = None if before is None else best_weights(before)
    origin = None
    if before is not None and weights is not None:
        origin = {"run": before.name, "sha256": checkpoint.weights_checksum(weights)}
    if going_on:
        folder.demand_origin(origin)
    if going_on and folder.trained:
        log.info("%s is done (--fresh on its config runs it again)", folder.path)
        return folder
    experiment.rehearse()
    resumes = going_on and folder.last.is_file()
    if not resumes:
        experiment.prepare(weights)
    log.info("%s: %s", folder.path, "going on" if going_on else f"{stage.epochs} epochs")
    with folder.alone():
        if not going_on:
            folder.begin(plain, origin, data)  # only now, when all that a user may have mistaken has been built
        train(experiment, folder, request.command, resumes=resumes)
        report(experiment, folder, folder.path)
    return folder


def best_weights(folder: RunFolder) -> dict[str, Tensor]:
    """The state dict that a finished run hands on."""
    return dict(checkpoint.load(folder.best, ("pair",))["pair"])


def run_before(request: Request, stage: StageConfig, data: str | None) -> RunFolder | None:
    """The finished stage that ``stage`` starts from, on the same data, run now if it has not been."""
    path = config.predecessor(request.config, stage)
    if path is None:
        return None
    _, passed_on = config.split_overrides(request.overrides)
    earlier = replace(request, config=path, overrides=tuple(passed_on), seed=stage.seed)
    earlier = replace(earlier, fresh=False, resume=request.resume or request.fresh)
    first, folder = open_stage(earlier)
    experiment = experiment_of(earlier, first)
    if experiment.splits.manifest.get("sha256") != data:
        raise UserError(f"{request.config}: data: {path} has another split; the stages of a chain see the same images")
    if not folder.trained:
        experiment_of(request, stage).rehearse()  # a mistake shows now, not when the first stage has been trained
        log.info("%s starts from %s, which has not been run: running it first", request.config, path)
    try:
        return run_stage(earlier)
    except StaleRunError as error:
        raise StaleRunError(f"{request.config} starts from {path}: {error} (give it with --config {path})") from error


def test_stage(request: Request, *, with_open: bool) -> Path:
    """Evaluate the best weights of a trained stage into a folder of its own; nothing else in the run is touched."""
    stage, folder = open_stage(request)
    if not folder.best.is_file():
        raise UserError(f"{folder.path}: nothing to evaluate: no {folder.best.name} there; run without --test first")
    folder.demand_same(config.plain(stage), besides=("evaluation",))
    experiment = experiment_of(request, stage)
    folder.demand_data(experiment.splits.manifest.get("sha256"))
    target = folder.path / ("test_open" if with_open else "test")
    report(experiment, folder, target, with_open=with_open)
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


def train(experiment: Experiment, folder: RunFolder, command: str, *, resumes: bool) -> None:
    """Train the prepared stage to its end from wherever its folder stands, keeping the best and the last state."""
    stage, pair = experiment.config, experiment.pair
    facts = collect(stage, experiment.device, experiment.splits.manifest, command)
    facts["starts_from"] = folder.started_from()
    state = TrainingState(folder=folder, keep=stage.keep, facts=facts)
    optimizer, settings = experiment.optimizer()
    sampler, batches, losses = experiment.sampler(), experiment.train_batches(), experiment.losses()
    rule = shot_rule(**stage.evaluation.shots)
    if resumes:
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
