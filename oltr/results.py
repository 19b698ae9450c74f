"""What a trained stage comes to: its predictions stored, and the report that is computed from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from oltr import checkpoint, config
from oltr.atomic import write_bytes
from oltr.contracts import UserError
from oltr.evaluation import evaluate
from oltr.evaluation_parts import scorers_of, thresholds_of
from oltr.experiment import Experiment
from oltr.folder import RunFolder
from oltr.metrics.shots import shot_rule
from oltr.networks.weights import load_strict
from oltr.options import OptionError
from oltr.plugins import OWN, SCORERS, nearest
from oltr.prediction_pass import predict
from oltr.predictions import Predictions
from oltr.provenance import rescored
from oltr.report import write
from oltr.report.html import page
from oltr.scoring import lacking
from oltr.stage_config import Part, StageConfig


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
    facts = {**json.loads(best["facts"]), "parameters": sum(item.numel() for item in experiment.pair.parameters())}
    if everyone.first:
        history = folder.history()
        facts["best_epoch"] = best["epoch"]
        facts["images_seen"] = sum(line["images"] for line in history)
        facts["seconds"] = round(sum(line["seconds"] for line in history), 3)
        facts["wait_share"] = wait_share(history)
    predict(experiment, target / "predictions.h5", facts, with_open=with_open)
    if everyone.first:
        write_report(target, experiment.config, folder)


def wait_share(history: Sequence[Mapping[str, Any]]) -> float | None:
    """Of the time that training took, the share spent waiting for data; None where nothing was trained."""
    seconds = sum(line["seconds"] for line in history)
    return round(sum(line["wait_seconds"] for line in history) / seconds, 4) if seconds else None


def write_report(target: Path, stage: StageConfig, folder: RunFolder) -> None:
    """Score the predictions in ``target`` and write the report beside them; needs no network, weights or data."""
    predictions = Predictions.open(target / "predictions.h5")
    settings = stage.evaluation
    result = evaluate(
        predictions,
        scorers=scorers_of(stage, predictions.num_classes, predictions.train_counts),
        rule=shot_rule(**settings.shots),
        thresholds=thresholds_of(stage),
        run=describe(stage, folder, predictions.provenance),
        options={scorer.name: scorer.options for scorer in settings.scorers},
    )
    result["provenance"] = rescored(predictions.provenance, stage)
    write(result, target, folder.history())


def suffices(target: Path, stage: StageConfig) -> bool:
    """Whether all scorers of ``stage`` can be computed from the predictions in ``target`` as they are."""
    try:
        predictions = Predictions.open(target / "predictions.h5")
        scorers = scorers_of(stage, predictions.num_classes, predictions.train_counts)
        options = {scorer.name: scorer.options for scorer in stage.evaluation.scorers}
        return not lacking(predictions, scorers, options)
    except UserError:
        return False


def report_again(path: Path, scorers: Sequence[str] | None = None) -> None:
    """Recompute a run's report from its stored predictions, with other ``scorers`` if they are named.

    ``all`` stands for the run's own, of which the first stays the headline's, and all others that are installed.
    """
    folder, scored_by = RunFolder(path if (path / "config.yaml").is_file() else path.parent), _scored_by(path)
    if not path.is_dir() or (not folder.started and scored_by is None):
        runs = sorted(str(found.parent) for found in path.rglob("config.yaml"))
        raise UserError(f"{path}: no run's folder: it has no config.yaml{nearest(str(path), runs)}")
    stage = scored_by or config.load(folder.config)
    if scorers is not None:
        chosen = {part.name: part for part in stage.evaluation.scorers}
        names = [*chosen, *every_scorer()] if list(scorers) == ["all"] else scorers
        named = tuple(chosen.get(name, Part(name=name)) for name in dict.fromkeys(names))
        stage = replace(stage, evaluation=replace(stage.evaluation, scorers=named))
        _check(stage)
    write_report(path, stage, folder)


def compare_on_a_page(runs: Sequence[Path], target: Path) -> None:
    """One HTML file of several runs' reports as they stand."""
    reports = [json.loads((run / "report.json").read_text(encoding="utf-8")) for run in runs]
    histories = [RunFolder(run if (run / "log.jsonl").is_file() else run.parent).history() for run in runs]
    write_bytes(target, page(reports, histories).encode("utf-8"))


def every_scorer() -> list[str]:
    """The names of all installed scorers that ask for no option: ours first."""
    return [
        name
        for own in (True, False)
        for plugin in SCORERS.plugins
        if (plugin.distribution == OWN) == own
        for name in [plugin.name if own else f"{plugin.distribution}:{plugin.name}"]
        if not _wrong(name)
    ]


def _wrong(scorer: str) -> str | None:
    """What is wrong with a scorer without options, if anything."""
    try:
        SCORERS.check(scorer, {})
    except OptionError as error:
        return str(error)
    return None


def _check(stage: StageConfig) -> None:
    try:
        for part in stage.evaluation.scorers:
            SCORERS.check(part.name, part.options)
    except OptionError as error:
        raise UserError(f"--scorers: {error}") from error


def _scored_by(path: Path) -> StageConfig | None:
    """The config of the report that stands there: --test may have scored otherwise than the run did."""
    earlier = path / "report.json"
    try:
        return config.parse(json.loads(earlier.read_text(encoding="utf-8"))["run"]["config"], str(earlier))
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return None  # none, or a damaged one: the run's own config makes it again


def describe(stage: StageConfig, folder: RunFolder, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the report says of the run itself."""
    before = facts.get("before") or {}
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
        "wait_share": facts.get("wait_share"),
        "command": facts["command"],
        "test_selected": stage.test_selected,
        "test_selected_because": [
            *(["the config says that something in it was chosen on the test set"] if stage.test_selected else []),
            *([f"it starts from {before['run']}, which is"] if before.get("test_selected") else []),
        ],
    }
