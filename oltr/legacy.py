"""A published OLTR or CFL config in Python as our plain data, such that the published behaviour runs.

Standard library only. Each key is honoured or named in a note; what is named by its file is ours where the file has the
published name and text, else a user's own, which oltr.published wraps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oltr.published import cfl
from oltr.published.config_file import Keys, run_config
from oltr.published.loss_keys import feature_of, memory_of, memory_optim, performance_of
from oltr.published.named_file import MemoryUse, NamedFile
from oltr.published.network_keys import backbone_of, classifier_of


@dataclass(frozen=True, kw_only=True)
class Legacy:
    """A published config as plain data, the folder that it writes to, and what the user should read before the run."""

    plain: dict[str, Any]
    folder: Path
    notes: tuple[str, ...]


def read(
    path: Path, options: Mapping[str, float] | None = None, *, logs: Path | None = None, command_line: bool = True
) -> Legacy:
    """The config at ``path`` under the ``options`` of CFL's command line, or without ``command_line`` as it stands.

    Stage-1 weights are those of a run below ``logs``, where there is one, instead of `./logs`.
    """
    config, notes = run_config(path), list[str]()
    training, criterions, networks = (config.section(key) for key in ("training_opt", "criterions", "networks"))
    folder = training.word("log_dir")
    if command_line:
        folder = _by_command_line(path, options or {}, training, criterions, notes)
    feature_loss = _named(criterions, "FeatureLoss") if "FeatureLoss" in criterions else None
    memory = memory_of(config.section("memory"), feature_loss)
    backbone, width, start = backbone_of(_named(networks, "feat_model"), training, notes)
    classifier, head = classifier_of(_named(networks, "classifier"), training, memory, width, notes)
    losses, centroids = [performance_of(_named(criterions, "PerformanceLoss"), training, notes)], dict[str, Any]()
    if feature_loss is not None:
        loss, centroids = feature_of(feature_loss, training, memory, width, notes)
        losses.append(loss)
    start = {key: _below(logs, value) for key, value in {**start, **head, **centroids}.items()}
    stage = _stage(start, memory, backbone, classifier)
    plain = {
        "stage": stage,
        "data": _data(training),
        "train_transform": {"name": "imagenet_train", "size": 224},
        "test_transform": {"name": "imagenet_test", "resize": 256, "size": 224},
        "sampler": _sampler(training, notes),
        "backbone": backbone,
        "classifier": classifier,
        **({"memory": {"optim": memory_optim(criterions, training, notes)}} if memory.present else {}),
        "losses": losses,
        "optimizer": {"name": "sgd"},
        "epochs": training.whole("num_epochs"),
        "batch_size": training.whole("batch_size", low=1),
        "keep": "best",
        "workers": training.whole("num_workers"),
        "evaluation": _evaluation(training),
        "compute": {"precision": "float32", "channels_last": False},
    }
    _mention(training, "display_step", "has no effect here: progress is shown all the time", notes)
    for key in criterions:
        if key not in ("PerformanceLoss", "FeatureLoss"):
            _mention(criterions, key, "has no effect: the published loop uses no such loss", notes)
    if command_line and "backbone_weights" in start:
        _mention_weights(path, start, notes)
    return Legacy(plain=plain, folder=Path(folder), notes=(*notes, *config.unread()))


def stages_1_of(path: Path, weights: str, *, prefers_cfl: bool | None = None) -> list[Path]:
    """The Python configs beside ``path`` whose ``log_dir`` is where ``weights`` lie, the likeliest first.

    They are read as text, not executed. A CFL config writes elsewhere, whatever it says, and is left out; unless one of
    its kind is preferred or not. A name that begins with stage_1 goes first.
    """
    log_dir = re.compile(rf"""['"](?:\./)?{re.escape(Path(weights).parent.as_posix())}/?['"]""")
    found = [
        other
        for other in sorted(path.parent.glob("*.py"))
        if other.resolve() != path.resolve()
        and (prefers_cfl is not None or not cfl.rules(other))
        and log_dir.search(other.read_text(encoding="utf-8", errors="replace"))
    ]
    return sorted(found, key=lambda other: (cfl.rules(other) != prefers_cfl, not other.stem.startswith("stage_1")))


def _named(section: Keys, key: str) -> NamedFile:
    return NamedFile(section.section(key), "def_file")


def _by_command_line(
    path: Path, options: Mapping[str, float], training: Keys, criterions: Keys, notes: list[str]
) -> str:
    """The folder of the run, after CFL's command line has done with the config what it does."""
    log_dir = training.word("log_dir")
    if not cfl.rules(path):
        notes += cfl.without_effect(path, options)
        return log_dir
    notes += cfl.overwrite(criterions.section("PerformanceLoss").section("loss_params"), options)
    folder = cfl.folder(path, log_dir, training.word("dataset"), options)
    notes.append(f"{training.at('log_dir')}: {log_dir!r} becomes {folder!r}, as published")
    return folder


def _data(training: Keys) -> dict[str, Any]:
    """The published layout: lists below the working directory, if they are there; images below --data-root."""
    dataset = training.word("dataset")
    lists = f"./data/{dataset}"
    here = {"lists": lists} if (Path(lists) / f"{dataset}_train.txt").is_file() else {}
    return {"name": "image_list", "list_name": dataset, "num_classes": training.whole("num_classes", low=1), **here}


def _sampler(training: Keys, notes: list[str]) -> Any:
    if not training.value("sampler"):
        return "shuffled"
    named = _named(training, "sampler")
    if named.published != "data/ClassAwareSampler.py":
        raise named.error(
            "a sampler of your own is written as a part of this suite; override sampler={name: module:Class}"
        )
    if named.section.value("type", "ClassAwareSampler") != "ClassAwareSampler":
        _mention(named.section, "type", "has no effect: the file says which sampler it is", notes)
    return {"name": "class_aware", "images_per_class": named.section.whole("num_samples_cls", low=1)}


def _stage(start: Mapping[str, Any], memory: MemoryUse, *networks: Mapping[str, Any]) -> Any:
    if not start and not memory.present and not any("file" in network for network in networks):
        return "feature"
    means = {"init_centroids": memory.means} if memory.present else {}
    return {"name": "oltr.published.stage:PublishedStage", **start, **means}


def _below(logs: Path | None, weights: Any) -> Any:
    """A checkpoint of `./logs` in ``logs``, if a run there has written one."""
    if logs is None or not isinstance(weights, str) or not weights.startswith("./logs/"):
        return weights
    moved = logs / weights.removeprefix("./logs/")
    return str(moved) if moved.is_file() or moved.with_name("best.pt").is_file() else weights


def _evaluation(training: Keys) -> dict[str, Any]:
    return {
        "scorers": ["msp", "max_logit", "energy", "entropy"],
        "thresholds": [
            {"name": "known_acceptance", "rate": 0.95},
            {"name": "fixed", "scorer": "msp", "confidence": training.number("open_threshold")},
        ],
        "shots": {"rule": "oltr"},
        "batch_size": training.whole("batch_size", low=1),
    }


def _mention(section: Keys, key: str, text: str, notes: list[str]) -> None:
    if section.value(key, None) is not None:
        notes.append(f"{section.at(key)} {text}")


def _mention_weights(path: Path, start: Mapping[str, Any], notes: list[str]) -> None:
    """Say what a checkpoint that training starts from may surprise with: whose it is, and that it is not there yet."""
    weights = start["backbone_weights"]
    if cfl.rules(path) and not start["caffe"]:
        notes.append(
            f"{weights} is of the plain stage 1, not of CFL's, as published; "
            "stage.backbone_weights=FILE stage.classifier_weights=FILE start from another"
        )
    if not Path(weights).is_file() and not Path(weights).with_name("best.pt").is_file():
        writer = "it is a file to be fetched" if start["caffe"] else "a config with that log_dir writes it"
        found = stages_1_of(path, weights)
        writer = f"{found[0]} writes it" if found else writer
        notes.append(f"{weights} is not there, which training starts from: {writer}")
