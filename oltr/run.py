"""One stage from config to report, and the chain of stages that a config needs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from oltr import checkpoint, config
from oltr.contracts import UserError
from oltr.epochs import train
from oltr.experiment import Experiment
from oltr.folder import RUNS, RunFolder, StaleRunError
from oltr.foreign.checkpoints import PUBLISHED, pair_state, read_checkpoint
from oltr.foreign.exporting import export
from oltr.foreign.imported import as_best
from oltr.metrics.shots import shot_rule
from oltr.parallel import choose_device, device_of_process
from oltr.processes import ALONE, Processes
from oltr.results import report, suffices, write_report
from oltr.stage_config import StageConfig

log = logging.getLogger("oltr")


EVALUATION = ("evaluation", "compute")
"""What --test may do otherwise than the run did."""

TRAINING = (
    *(
        "stage",
        "init_from",
        "initial_weights",
        "train_transform",
        "sampler",
        "cache",
        "feature_cache",
        "losses",
        "optimizer",
        "epochs",
    ),
    *("batch_size", "clip_norm", "keep", "seed"),
    *(f"{part}.optim" for part in ("backbone", "classifier", "memory")),
    *(f"{part}.{key}" for part in ("backbone", "classifier") for key in ("only", "rest", "fix")),
)
"""What an evaluation does not depend on: --test of a published config, whose users edit it in between, lets it be."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asks for: a config, where things lie, and what to do with an earlier run."""

    config: Path
    overrides: tuple[str, ...] = ()
    options: Mapping[str, float] = field(default_factory=dict)
    """What only published Python configs take from the command line."""
    out: Path | None = None
    data_root: Path | None = None
    device: str = "auto"
    seed: int | None = None
    resume: bool = False
    fresh: bool = False
    command: str = ""
    processes: Processes = ALONE
    for_weights: bool = False
    """The run is wanted for its weights alone: how it was evaluated is no matter."""

    @property
    def cache_folder(self) -> Path:
        return (self.out or RUNS) / "cache"


def run_stage(request: Request) -> RunFolder:
    """Train and evaluate a stage, and before it those it starts from; what is done already is not done again."""
    everyone = request.processes
    stage, folder = everyone.once(lambda: open_stage(request))
    standing = everyone.once(lambda: standing_of(request, stage, folder))
    experiment = experiment_of(request, stage)
    data = experiment.same_splits().manifest.get("sha256")
    if standing.imported:
        everyone.once(lambda: folder.demand_data(data))
        log.info("%s was imported (--fresh on its config trains it here)", folder.path)
        return folder
    before = run_before(request, stage, data)
    origin, weights = everyone.once(lambda: start_of(experiment, before))
    if standing.going_on:
        everyone.once(lambda: folder.demand_source(data, origin))
    if standing.done:
        if standing.evaluated:
            log.info("%s is done (--fresh on its config runs it again)", folder.path)
        else:
            evaluate_again(experiment, folder)
        return folder
    everyone.once(experiment.rehearse)
    if not standing.resumes:
        experiment.prepare(weights)
    log.info("%s: %s", folder.path, "going on" if standing.going_on else f"{stage.epochs} epochs")
    with folder.alone() if everyone.first else nullcontext():
        if not standing.going_on and everyone.first:
            if folder.published and folder.started:
                (folder.path / PUBLISHED).unlink(missing_ok=True)  # else a stage 2 would take it for the new one's
            folder.begin(config.plain(stage), origin, data)  # only now, when what a user may mistake has been built
        elif everyone.first:
            folder.write_config(config.plain(stage))
        earlier = None if before is None else before.told()
        train(experiment, folder, request.command, resumes=standing.resumes, before=earlier)
        report(experiment, folder, folder.path)
        if folder.published and everyone.first:
            export(folder.path, force=True)
    return folder


class Standing(NamedTuple):
    """What a folder holds of the run that is asked for."""

    going_on: bool = False
    resumes: bool = False
    """There is a state to go on from."""
    done: bool = False
    evaluated: bool = True
    """As the request says; else the stored predictions can be scored anew."""
    imported: bool = False


def standing_of(request: Request, stage: StageConfig, folder: RunFolder) -> Standing:
    """What is there to go on with; StaleRunError where that is another run, or one that did not end."""
    folder.demand_writable()
    theirs = folder.path / PUBLISHED
    if folder.published and not folder.started and not request.fresh and theirs.is_file():
        raise StaleRunError(
            f"{theirs} was not written by this suite: --test evaluates it, --fresh trains anew and replaces it, "
            "--out keeps both"
        )
    if request.fresh or not folder.started:
        return Standing()
    if not folder.kept:
        log.info("%s holds a run of which no epoch has ended; it begins anew", folder.path)
        return Standing()

    def read(stored: Any) -> Any:
        return config.plain(config.parse(stored, str(folder.config)))

    folder.demand_same(config.plain(stage), besides=EVALUATION[:1], read=read)
    if folder.imported and folder.report.is_file():
        return Standing(going_on=True, imported=True)
    if not folder.trained and not request.resume:
        raise StaleRunError(
            f"{folder.path} holds a run that did not end: --resume goes on with it, --fresh runs it anew"
        )
    evaluated = request.for_weights or folder.same(config.plain(stage), read=read)
    return Standing(going_on=True, resumes=folder.last.is_file(), done=folder.trained, evaluated=evaluated)


def evaluate_again(experiment: Experiment, folder: RunFolder) -> None:
    """Score a finished run as its config now says; the network runs only where the stored predictions lack something.

    The config is written last: one that is cut is evaluated again.
    """
    everyone, stage = experiment.processes, experiment.config
    with folder.alone() if everyone.first else nullcontext():
        if everyone.once(lambda: suffices(folder.path, stage)):
            log.info("%s is trained: its stored predictions are scored anew", folder.path)
            everyone.once(lambda: write_report(folder.path, stage, folder))
        else:
            log.info("%s is trained: it is evaluated anew", folder.path)
            report(experiment, folder, folder.path)
        if everyone.first:
            folder.write_config(config.plain(stage))


def start_of(
    experiment: Experiment, before: RunFolder | None
) -> tuple[dict[str, str] | None, dict[str, Tensor] | None]:
    """What a stage starts from, by name and checksum, and the weights; nothing for a first stage."""
    file = config.checkpoint_file(experiment.config.init_from)
    if before is None and file is None:
        return None, None
    try:
        if before is not None:
            weights = best_weights(before)
        else:
            foreign = read_checkpoint(file or Path())
            log.info("init_from: %s", foreign)
            weights = pair_state(foreign, experiment.pair.state_dict())
    except UserError as error:
        raise UserError(f"{experiment.place}: init_from: {error}") from error
    name = str(file) if before is None else before.name
    return {"run": name, "sha256": checkpoint.weights_checksum(weights)}, weights


def best_weights(folder: RunFolder) -> dict[str, Tensor]:
    """The state dict that a finished run hands on."""
    return dict(checkpoint.load(folder.best, ("pair",))["pair"])


def run_before(request: Request, stage: StageConfig, data: str | None) -> RunFolder | None:
    """The finished stage that ``stage`` starts from, on the same data, run now if it has not been."""
    everyone = request.processes
    path = everyone.once(lambda: config.predecessor(request.config, stage))
    if path is None:
        return None
    _, passed_on = config.split_overrides(request.overrides)
    earlier = replace(request, config=path, overrides=tuple(passed_on), seed=stage.seed)
    earlier = replace(earlier, fresh=False, resume=request.resume or request.fresh, for_weights=True)
    first, folder = everyone.once(lambda: open_stage(earlier))
    experiment = experiment_of(earlier, first)
    if experiment.same_splits().manifest.get("sha256") != data:
        raise UserError(f"{request.config}: data: {path} has another split; the stages of a chain see the same images")
    if not everyone.once(lambda: folder.trained):
        # A mistake shows now, not when the first stage has been trained.
        everyone.once(lambda: experiment_of(request, stage).rehearse())
        log.info("%s starts from %s, which has not been run: running it first", request.config, path)
    try:
        return run_stage(earlier)
    except StaleRunError as error:
        raise StaleRunError(f"{request.config} starts from {path}: {error} (give it with --config {path})") from error


def test_stage(request: Request, *, with_open: bool) -> Path:
    """Evaluate the best weights of a trained stage into a folder of its own; nothing else in the run is touched."""
    everyone = request.processes
    stage, folder = everyone.once(lambda: open_stage(request))
    theirs = folder.path / PUBLISHED
    foreign = everyone.once(lambda: folder.published and not folder.best.is_file() and theirs.is_file())

    def as_trained() -> StageConfig:
        """The config that the run was trained with, to be evaluated as the request says."""
        if foreign:
            return stage
        if not folder.best.is_file():
            raise UserError(
                f"{folder.path}: nothing to evaluate: no {folder.best.name} there; run without --test first"
            )
        trained = config.load(folder.config)
        folder.demand_same(
            config.plain(stage),
            besides=(*EVALUATION, *(TRAINING if folder.published else ())),
            read=lambda stored: config.plain(trained),
            remedy="--test evaluates the run as it was trained; --out names another",
        )
        return replace(trained, **{key: getattr(stage, key) for key in (*EVALUATION, "workers", "cache")})

    stage = everyone.once(as_trained)
    experiment = experiment_of(request, stage)
    data = experiment.same_splits().manifest.get("sha256")
    best = None
    if foreign:
        best = everyone.once(lambda: as_best(experiment, read_checkpoint(theirs), theirs, request.command))
    else:
        everyone.once(lambda: folder.demand_data(data))
    target = folder.path / ("test_open" if with_open else "test")
    report(experiment, folder, target, with_open=with_open, best=best)
    return target


def open_stage(request: Request) -> tuple[StageConfig, RunFolder]:
    """The checked config of a request, and the folder of its run."""
    written = config.written(request.config, request.options, request.out)
    stage = config.resolved(written, request.config, request.overrides)
    if request.seed is not None:
        stage = replace(stage, seed=request.seed)
    config.check(stage, str(request.config))
    try:
        shot_rule(**stage.evaluation.shots)
    except UserError as error:
        raise UserError(f"{request.config}: evaluation.shots: {error}") from error
    for note in written.notes:
        log.warning("%s: %s", request.config, note)
    return stage, RunFolder.of(request.config, out=request.out, seed=stage.seed, given=written.folder)


def experiment_of(request: Request, stage: StageConfig) -> Experiment:
    return Experiment(
        config=stage,
        place=str(request.config),
        device=device_of_process(choose_device(request.device), request.processes),
        data_root=request.data_root,
        cache_folder=request.cache_folder,
        processes=request.processes,
    )
