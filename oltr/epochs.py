"""The epochs of one stage: trained, validated, kept and logged."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from tqdm import tqdm

from oltr import checkpoint, interruption, plugins
from oltr.background import Background
from oltr.contracts import Progress
from oltr.experiment import Experiment
from oltr.folder import RunFolder
from oltr.metrics.closed import class_accuracies, group_means
from oltr.metrics.shots import ShotRule, shot_rule
from oltr.provenance import collect
from oltr.state import TrainingState
from oltr.training import Batch, EpochEnd, fit

log = logging.getLogger("oltr")


def train(
    experiment: Experiment,
    folder: RunFolder,
    command: str,
    *,
    resumes: bool,
    before: Mapping[str, Any] | None = None,
) -> None:
    """Train the prepared stage to its end from wherever its folder stands, keeping the best and the last state.

    ``before`` is what the run that it starts from tells of itself, for the provenance.
    """
    experiment.demand_compiler()
    stage, pair, everyone = experiment.config, experiment.pair, experiment.processes
    facts = collect(stage, experiment.device, experiment.splits.manifest, command)
    facts["computing"] = experiment.computing.describe()
    facts["starts_from"] = folder.started_from() if everyone.first else None
    facts["before"] = before
    beside = Background()
    state = TrainingState(folder=folder, keep=stage.keep, facts=facts, beside=beside)
    optimizer, settings = experiment.optimizer()
    sampler, losses = experiment.sampler(), experiment.losses()
    rule = shot_rule(**stage.evaluation.shots)
    if resumes:
        state.restore(pair, optimizer, sampler, everyone)
    everyone.agree(pair)
    cache = experiment.feature_cache if stage.epochs else None  # which is of the weights as they are now
    batches = experiment.train_batches() if cache is None else cache.train
    facts["feature_cache"] = None if cache is None else cache.describe()
    if everyone.first:
        folder.keep_history(state.epochs_done)
        if stage.epochs == 0:
            state.start(pair)

    def epoch_batches(progress: Progress) -> Iterable[Batch]:
        if not everyone.first:
            torch.manual_seed(checkpoint.seed_of(stage.seed, progress.epoch, everyone.rank))
        indices = everyone.once(lambda: sampler.indices(progress))  # it may draw from the global generator
        experiment.computing.demand_shares(min(stage.batch_size, len(indices)))
        epoch = batches.epoch(indices, epoch=progress.epoch, drop_last=True)
        total, title = batches.steps(len(indices), drop_last=True), f"epoch {progress.epoch + 1}/{progress.epochs}"
        for batch in tqdm(epoch, total=total, desc=title, leave=False, disable=None if everyone.first else True):
            interruption.check()
            beside.check()
            yield batch

    with beside:
        for end in fit(
            network=pair,
            forward=experiment.computing.training_forward(pair if cache is None else cache.division.rest),
            losses=losses,
            optimizer=optimizer,
            settings=settings,
            batches=epoch_batches,
            epochs=stage.epochs,
            start=state.epochs_done,
            clip_norm=plugins.SCHEDULES.scalar(stage.clip_norm),
            split=experiment.computing.split(),
        ):
            waited, batches.wait_seconds = batches.wait_seconds, 0.0
            everyone.agree(pair)
            val = validate(experiment, rule)
            if everyone.first:
                folder.append(record(end, val, waited, experiment.group_names))
                state.save(pair, optimizer, sampler, end, val["accuracy"])
            log.info("%s", summary(end, val, waited))


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


def summary(end: EpochEnd, val: Mapping[str, Any], waited: float) -> str:
    groups = ", ".join(f"{name} {val[name]:.3f}" for name in ("many", "medium", "few") if val[name] is not None)
    rate, share = (amount / max(end.seconds, 1e-9) for amount in (end.images, waited))
    return (
        f"epoch {end.progress.epoch + 1}/{end.progress.epochs}: loss {end.losses['total']:.4f}, "
        f"val accuracy {val['accuracy']:.3f} ({groups}), {rate:.0f} images/s, {share:.0%} of the time waiting for data"
    )
