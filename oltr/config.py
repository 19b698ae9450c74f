"""A stage's config: read from YAML, overridden, held against the schema and the parts, written as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from oltr import legacy, plugins
from oltr.config_schema import parse as parse
from oltr.config_schema import part
from oltr.options import OptionError, is_schedule
from oltr.plain_data import ConfigError, override, read
from oltr.plugins import Kind, nearest
from oltr.stage_config import (
    PART_FIELDS,
    CacheConfig,
    ComputeConfig,
    EvaluationConfig,
    FeatureCacheConfig,
    MemoryConfig,
    Part,
    StageConfig,
)

SHARED_WITH_PREDECESSOR = ("data", "cache", "test_transform", "workers")
"""Overrides of these reach the stages that a stage starts from: all of a chain see the same images."""


def split_overrides(assignments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The overrides of a stage, and those that reach its predecessor: ``init_from.…`` and what a chain shares."""
    own = [text for text in assignments if not text.startswith("init_from.")]
    shared = [text for text in own if text.partition("=")[0].partition(".")[0] in SHARED_WITH_PREDECESSOR]
    return own, shared + [text.removeprefix("init_from.") for text in assignments if text.startswith("init_from.")]


@dataclass(frozen=True, kw_only=True)
class Written:
    """A config as it is written, as plain data, with what only the published Python configs say."""

    plain: Mapping[str, Any]
    folder: Path | None = None
    """Where the run is to be written, if the config says so."""
    notes: tuple[str, ...] = ()
    """Keys without effect and quirks that hold: what the user should read before the run."""


def written(path: Path, options: Mapping[str, float] | None = None, out: Path | None = None) -> Written:
    """What stands at ``path``: YAML, or a published config in Python, which alone takes ``options``.

    The latter starts from a run below ``out``, where there is one, before it looks for it in the place that it names.
    """
    if path.suffix == ".py":
        found = legacy.read(path, options, logs=out)
        return Written(plain=found.plain, folder=found.folder, notes=found.notes)
    for option, value in (options or {}).items():
        key = option.removeprefix("cyclical_")
        raise ConfigError(
            f"--{option}: published Python configs alone take it; for {path} write losses.0.{key}={value:g}"
        )
    return Written(plain=read(path))


def load(path: Path, assignments: Sequence[str] = (), options: Mapping[str, float] | None = None) -> StageConfig:
    """The config at ``path``, overridden and held against the schema; no part is imported."""
    return resolved(written(path, options), path, assignments)


def resolved(config: Written, path: Path, assignments: Sequence[str]) -> StageConfig:
    """A config as it is written, overridden and held against the schema."""
    own, _ = split_overrides(assignments)
    return parse(override(dict(config.plain), own), str(path))


def checkpoint_file(init_from: str | None) -> Path | None:
    """The file of weights that ``init_from`` names, where it is no config's name."""
    if init_from is None or not ("/" in init_from or init_from.endswith((".pth", ".pt"))):
        return None
    return Path(init_from)


def predecessor(path: Path, config: StageConfig) -> Path | None:
    """The config file that ``init_from`` names: one beside ``path``; None where it names none, or a file of weights."""
    if config.init_from is None or checkpoint_file(config.init_from) is not None:
        return None
    before = path.with_name(f"{config.init_from}.yaml")
    if not before.is_file():
        others = sorted(found.stem for found in path.parent.glob("*.yaml") if found != path)
        raise ConfigError(f"{path}: init_from: no config {before}{nearest(config.init_from, others)}")
    chain = [path, before]
    while chain[-1] not in chain[:-1]:
        further = read(chain[-1]).get("init_from")
        if further is None or checkpoint_file(further) is not None:
            return before
        chain.append(path.with_name(f"{further}.yaml"))
        if not chain[-1].is_file():
            return before  # an error of that config's own, told when its turn comes
    circle = " -> ".join(item.stem for item in chain)
    raise ConfigError(f"{path}: init_from: no stage can be the first of {circle}")


def plain(config: StageConfig) -> dict[str, Any]:
    """The config as plain data that ``parse`` reads back: what is stored, shown and compared."""
    return {item.name: _plain(getattr(config, item.name)) for item in fields(config)}


def check(config: StageConfig, place: str) -> None:
    """Import every part that the config names and hold the options of each against its signature."""
    for key, kind in PART_FIELDS.items():
        _check_part(kind, getattr(config, key), f"{place}: {key}")
    for index, loss in enumerate(config.losses):
        part = _check_part(plugins.LOSSES, loss, f"{place}: losses.{index}")
        _check_scalar(loss.weight, f"{place}: losses.{index}.weight")
        _check_memory(part, loss, config, f"{place}: losses.{index}")
    for index, scorer in enumerate(config.evaluation.scorers):
        _check_part(plugins.SCORERS, scorer, f"{place}: evaluation.scorers.{index}")
    for index, threshold in enumerate(config.evaluation.thresholds):
        _check_part(plugins.THRESHOLDS, threshold, f"{place}: evaluation.thresholds.{index}")
        meant = threshold.options.get("scorer")
        names = [scorer.name for scorer in config.evaluation.scorers]
        if meant is not None and meant not in names:
            told = f"{meant!r} is none of this config's scorers{nearest(str(meant), names)}"
            raise ConfigError(f"{place}: evaluation.thresholds.{index}.scorer: {told}")
    if config.feature_cache is not None:
        _check_frozen(config, f"{place}: feature_cache")
    _check_memory(plugins.CLASSIFIERS.load(config.classifier.name), config.classifier, config, f"{place}: classifier")
    _check_scalar(config.clip_norm, f"{place}: clip_norm")
    readers = [plugins.LOSSES.load(loss.name) for loss in config.losses]
    readers.append(plugins.CLASSIFIERS.load(config.classifier.name))
    if config.memory is not None and config.init_from is None and not any(map(_needs_memory, readers)):
        raise ConfigError(f"{place}: memory: neither a loss nor the classifier reads it; drop it")
    for key, optim in (("backbone", config.backbone.optim), ("classifier", config.classifier.optim)):
        _check_part(plugins.OPTIMIZERS, _merged(config.optimizer, optim), f"{place}: {key}.optim")
    if config.memory is not None:
        _check_part(plugins.OPTIMIZERS, _merged(config.optimizer, config.memory.optim), f"{place}: memory.optim")


def _merged(optimizer: Part, optim: Mapping[str, Any]) -> Part:
    return replace(optimizer, options={**optimizer.options, **optim})


def _check_part(kind: Kind, part: Part, place: str) -> Any:
    try:
        return kind.check(part.name, part.options)
    except OptionError as error:
        raise ConfigError(f"{place}: {error}") from error


def _check_memory(part: Any, named: Part, config: StageConfig, place: str) -> None:
    if _needs_memory(part) and config.memory is None:
        raise ConfigError(f"{place}: {named.name!r} reads class centroids: add `memory: {{}}` to the config")


def _check_frozen(config: StageConfig, place: str) -> None:
    """ConfigError where what the backbone makes of an image changes in training, or more views are asked than exist."""
    if config.backbone.only is None:
        raise ConfigError(f"{place}: the backbone trains: freeze it (backbone.only: []), or drop feature_cache")
    if not config.backbone.rest:
        raise ConfigError(f"{place}: backbone.rest: false lets the frozen statistics move: set it to true")
    views = 1 if config.feature_cache is None else config.feature_cache.views
    if views > 1 and config.train_transform == config.test_transform:
        raise ConfigError(
            f"{place}.views: 1, not {views}: train_transform is test_transform, of which there is one view"
        )


def _needs_memory(part: Any) -> bool:
    return bool(getattr(part, "needs_memory", False))


def _check_scalar(value: Any, place: str) -> None:
    if is_schedule(value):
        _check_part(plugins.SCHEDULES, part(value, place, Part), place)


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        own = {item.name: _plain(getattr(value, item.name)) for item in fields(value) if item.name != "options"}
        return {**own, **_plain(value.options)}
    if isinstance(value, MemoryConfig | CacheConfig | FeatureCacheConfig | EvaluationConfig | ComputeConfig):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
