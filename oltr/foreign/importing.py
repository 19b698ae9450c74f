"""Results of other programs made into runs of this suite: a checkpoint, or the logits of a test set."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from oltr import checkpoint, config
from oltr.contracts import UserError
from oltr.data.split import Splits
from oltr.folder import IMPORTED, WRITTEN, RunFolder, StaleRunError
from oltr.foreign.checkpoints import read_checkpoint
from oltr.foreign.imported import as_best, provenance, sha256
from oltr.foreign.logits import Logits, read_logits
from oltr.prediction_writer import PredictionWriter
from oltr.results import report, write_report
from oltr.run import Request, experiment_of, open_stage
from oltr.stage_config import StageConfig

log = logging.getLogger("oltr")


def import_files(request: Request, files: Sequence[Path]) -> RunFolder:
    """A finished run of the request's config, made of a checkpoint, or of one or two files of logits."""
    logits = [path.suffix == ".npz" for path in files]
    if not all(logits) and (any(logits) or len(files) > 1):
        raise UserError(
            f"{files[0]} and {files[1]}: a run is imported from one checkpoint, or from .npz files of logits"
        )
    if len(files) > 2:
        raise UserError(f"{files[2]}: logits are imported from one file, or from the closed one and the open one")
    return import_logits(request, files) if all(logits) else import_checkpoint(request, files[0])


def import_checkpoint(request: Request, path: Path) -> RunFolder:
    """The run whose best weights are those of the checkpoint: evaluated and reported, never trained here."""
    stage, folder = open_stage(request)
    _demand_free(request, folder, [path])
    foreign = read_checkpoint(path)
    experiment = experiment_of(request, stage)
    best = as_best(experiment, foreign, path, request.command)
    experiment.rehearse(trains=False)
    with folder.alone():
        _begin(folder, stage, experiment.splits, path)
        try:
            checkpoint.save(folder.best, best)
            report(experiment, folder, folder.path)
        except BaseException:
            folder.best.unlink(missing_ok=True)  # else it would look like a run to be resumed
            raise
    return folder


def import_logits(request: Request, paths: Sequence[Path]) -> RunFolder:
    """The run whose predictions are those of the files; the network is not built and no image is read."""
    stage, folder = open_stage(request)
    _demand_free(request, folder, paths)
    if request.data_root is None and stage.data.options.get("lists") is not None:
        request = replace(request, data_root=Path())  # lists are read, and no image of them
    experiment = experiment_of(request, replace(stage, cache=None))
    splits = experiment.splits
    parts = read_logits(paths, splits.num_classes)
    _compare(parts, splits, paths[0])
    experiment.scorers()
    facts = provenance(experiment, paths, request.command, form="logits")
    facts |= {"config": config.plain(stage), "best_epoch": None, "images_seen": None, "seconds": None}
    with folder.alone():
        _begin(folder, stage, splits, paths[0])
        with PredictionWriter(
            folder.path / "predictions.h5",
            num_classes=splits.num_classes,
            feature_dim=0,
            train_counts=splits.train_counts,
            class_names=splits.class_names,
            provenance=facts,
        ) as writer:
            for name, part in parts.items():
                writer.add(name, np.empty((len(part.ids), 0), np.float32), part.logits, part.labels, part.ids)
        write_report(folder.path, stage, folder)
    return folder


def _demand_free(request: Request, folder: RunFolder, paths: Sequence[Path]) -> None:
    """Raise UserError where the import would take the place of a run, or of files that no run of ours wrote."""
    folder.demand_writable()
    if (folder.kept or folder.report.is_file()) and not request.fresh:
        raise StaleRunError(f"{folder.path} holds a run: --fresh puts the imported one in its place, --out keeps both")
    places = [folder.path.resolve() / inner for inner in ("", "test", "test_open")]
    taken = {place / name for place in places for name in WRITTEN}
    theirs = [path for path in paths if path.resolve() in taken]
    if not folder.started:
        theirs += [path for path in sorted(taken) if path.is_file()]
    if theirs:
        raise UserError(f"{theirs[0]} stands where the run writes its own: move it, or choose another folder by --out")


def _begin(folder: RunFolder, stage: StageConfig, splits: Splits, path: Path) -> None:
    origin = {"run": f"{IMPORTED}{path}", "sha256": sha256(path)}
    folder.begin(config.plain(stage), origin, splits.manifest.get("sha256"))
    folder.keep_history(0)


def _compare(parts: dict[str, Logits], splits: Splits, path: Path) -> None:
    """Say where the images are not those of the config's test set; that may be meant."""
    for name, ours in (("test", splits.test), ("open", splits.open)):
        there = parts[name].labels if name in parts else None
        if there is None or ours is None:
            continue
        theirs, here = (np.bincount(labels + 1, minlength=splits.num_classes + 1) for labels in (there, ours.labels))
        if not np.array_equal(theirs, here):
            log.warning(
                "%s: it has %d %s images and the config's data %d, or other ones: the report is of those in the file",
                path,
                len(there),
                name,
                len(ours.labels),
            )
