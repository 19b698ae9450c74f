"""A stage's config: read from YAML, overridden, held against the schema and the parts, written as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, replace
from pathlib import Path
from typing import Any

from oltr import legacy, plugins
from oltr.options import OptionError, is_schedule
from oltr.plain_data import ConfigError, override, read
from oltr.plugins import Kind, nearest
from oltr.stage_config import (
    COMPILE_MODES,
    GRAPH_MODES,
    PART_FIELDS,
    CacheConfig,
    ComputeConfig,
    EvaluationConfig,
    FeatureCacheConfig,
    LossPart,
    MemoryConfig,
    NetworkPart,
    Part,
    StageConfig,
)

KEEP = ("best", "last")
REPLACED = ("acceptance", "fixed")
"""Keys of earlier configs in whose place threshold rules stand."""
PRECISIONS = ("auto", "float32", "bfloat16")
STORED = ("auto", "float32", "bfloat16", "float16")
"""In what a feature cache may be stored."""
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


def parse(plain: Mapping[str, Any], place: str) -> StageConfig:
    """Plain data as a config, or a ConfigError that names the key path."""
    _known(plain, StageConfig, place)
    values: dict[str, Any] = {
        key: _part(value, f"{place}: {key}", NetworkPart if key in ("backbone", "classifier") else Part)
        if key in PART_FIELDS
        else value
        for key, value in plain.items()
    }
    for key in ("epochs", "batch_size", "seed"):
        low = 1 if key == "batch_size" else 0
        if key in values and (not _is_int(values[key]) or values[key] < low):
            raise ConfigError(f"{place}: {key}: a whole number from {low} on, not {values[key]!r}")
    workers = values.get("workers")
    if workers is not None and (not _is_int(workers) or workers < 0):
        raise ConfigError(f"{place}: workers: a whole number from 0 on, or null, not {workers!r}")
    if not isinstance(values.get("test_selected", False), bool):
        raise ConfigError(f"{place}: test_selected: true or false, not {values['test_selected']!r}")
    if values.get("keep", KEEP[0]) not in KEEP:
        raise ConfigError(f"{place}: keep: {values['keep']!r}{nearest(str(values['keep']), KEEP)}")
    for key, what in (("init_from", "a config beside this one, or a file of weights"), ("initial_weights", "a file")):
        if values.get(key) is not None and not isinstance(values[key], str):
            raise ConfigError(f"{place}: {key}: the name of {what}, not {values[key]!r}")
    if values.get("clip_norm") is not None:
        _scalar(values["clip_norm"], f"{place}: clip_norm")
    values["losses"] = _losses(values.get("losses"), f"{place}: losses")
    for key, make in (("memory", MemoryConfig), ("cache", CacheConfig)):
        if values.get(key) is not None:
            values[key] = _section(values[key], f"{place}: {key}", make)
    if values.get("feature_cache") is not None:
        values["feature_cache"] = _feature_cache(values["feature_cache"], f"{place}: feature_cache")
    if "compute" in values:
        values["compute"] = _compute(values["compute"], f"{place}: compute")
    if "evaluation" in values:
        values["evaluation"] = _evaluation(values["evaluation"], f"{place}: evaluation")
    required = [name.name for name in fields(StageConfig) if name.name not in values and _is_required(name)]
    if required:
        raise ConfigError(f"{place}: the key {required[0]!r} is missing")
    return StageConfig(**values)


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
    """ConfigError where what the backbone makes of an image changes in training, or is the same in all views."""
    if config.backbone.only is None:
        raise ConfigError(f"{place}: the backbone trains: freeze it (backbone.only: []), or drop feature_cache")
    if not config.backbone.rest:
        raise ConfigError(f"{place}: backbone.rest: false lets the frozen statistics move: set it to true")
    views = 1 if config.feature_cache is None else config.feature_cache.views
    if views > 1 and config.train_transform == config.test_transform:
        raise ConfigError(f"{place}.views: 1, not {views}: train_transform is test_transform, and all views are alike")


def _needs_memory(part: Any) -> bool:
    return bool(getattr(part, "needs_memory", False))


def _check_scalar(value: Any, place: str) -> None:
    if is_schedule(value):
        _check_part(plugins.SCHEDULES, _part(value, place, Part), place)


def _known(plain: Any, make: type, place: str) -> None:
    if not isinstance(plain, Mapping):
        raise ConfigError(f"{place}: a mapping of keys, not {plain!r}")
    names = [item.name for item in fields(make)]
    for key in plain:
        if key not in names:
            raise ConfigError(f"{place}: unknown key {key!r}{nearest(str(key), names)}")


def _part(value: Any, place: str, make: type[Part]) -> Part:
    """A part from `name` alone or from a mapping with `name`; what is not the config's own is an option."""
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise ConfigError(f"{place}: a part is a name, or a mapping with a name, not {value!r}")
    own = {item.name for item in fields(make)} - {"options"}
    taken: dict[str, Any] = {key: item for key, item in value.items() if key in own}
    if taken.get("only") is not None:
        only = taken["only"]
        if not isinstance(only, list | tuple) or not all(isinstance(child, str) for child in only):
            raise ConfigError(f"{place}.only: a list of children's names, not {only!r}")
        taken["only"] = tuple(only)
    if not isinstance(taken.get("optim", {}), Mapping):
        raise ConfigError(f"{place}.optim: a mapping of the optimizer's settings, not {taken['optim']!r}")
    if not isinstance(taken.get("rest", True), bool):
        raise ConfigError(f"{place}.rest: true or false, not {taken['rest']!r}")
    if "weight" in taken:
        _scalar(taken["weight"], f"{place}.weight")
    return make(**taken, options={key: item for key, item in value.items() if key not in own})


def _losses(value: Any, place: str) -> tuple[Part, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise ConfigError(f"{place}: a list of one loss or more, not {value!r}")
    losses = tuple(_part(loss, f"{place}.{index}", LossPart) for index, loss in enumerate(value))
    _once(losses, place, "losses")
    return losses


def _once(parts: Sequence[Part], place: str, what: str) -> list[str]:
    """The names of the parts, each of which stands once."""
    names = [part.name for part in parts]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{place}: {name!r} stands twice; {what} are told apart by their part's name")
    return names


def _section(value: Any, place: str, make: type) -> Any:
    _known(value, make, place)
    if not isinstance(value.get("optim", {}), Mapping):
        raise ConfigError(f"{place}.optim: a mapping of the optimizer's settings, not {value['optim']!r}")
    size = value.get("image_size")
    if size is not None and (not _is_int(size) or size < 1):
        raise ConfigError(f"{place}.image_size: a whole number from 1 on, or null, not {size!r}")
    return make(**value)


def _feature_cache(value: Any, place: str) -> FeatureCacheConfig:
    _known(value, FeatureCacheConfig, place)
    views, precision = value.get("views", 1), value.get("precision", STORED[0])
    if not _is_int(views) or views < 1:
        raise ConfigError(f"{place}.views: a whole number from 1 on, not {views!r}")
    if precision not in STORED:
        raise ConfigError(f"{place}.precision: {precision!r}{nearest(str(precision), STORED)}")
    return FeatureCacheConfig(**value)


def _compute(value: Any, place: str) -> ComputeConfig:
    _known(value, ComputeConfig, place)
    precision = value.get("precision", PRECISIONS[0])
    if precision not in PRECISIONS:
        raise ConfigError(f"{place}.precision: {precision!r}{nearest(str(precision), PRECISIONS)}")
    for key in ("channels_last", "compile_losses", "sync_batchnorm"):
        if not isinstance(value.get(key, False), bool):
            raise ConfigError(f"{place}.{key}: true or false, not {value[key]!r}")
    parts = value.get("accumulate", 1)
    if not _is_int(parts) or parts < 1:
        raise ConfigError(f"{place}.accumulate: a whole number from 1 on, not {parts!r}")
    mode = value.get("compile", False)
    if not isinstance(mode, bool | str):
        raise ConfigError(f"{place}.compile: true, false or the name of a mode, not {mode!r}")
    if isinstance(mode, str) and mode not in COMPILE_MODES:
        raise ConfigError(f"{place}.compile: {mode!r}{nearest(mode, COMPILE_MODES)}")
    if mode in GRAPH_MODES and parts > 1:  # gradients of a part would lie where the next part's are put
        raise ConfigError(f"{place}.compile: {mode!r} replays CUDA graphs, which take a batch whole: no accumulate")
    return ComputeConfig(**value)


def _evaluation(value: Any, place: str) -> EvaluationConfig:
    for key in REPLACED:
        if isinstance(value, Mapping) and key in value:
            raise ConfigError(f"{place}.{key}: threshold rules are parts now: list them in {place}.thresholds")
    _known(value, EvaluationConfig, place)
    values = dict(value)
    for key in ("scorers", "thresholds"):
        listed = values.get(key, ())
        if not isinstance(listed, list | tuple):
            raise ConfigError(f"{place}.{key}: a list of {key}, not {listed!r}")
        values[key] = tuple(_part(item, f"{place}.{key}.{index}", Part) for index, item in enumerate(listed))
    _once(values["scorers"], f"{place}.scorers", "scores")
    if not isinstance(values.get("shots", {}), Mapping):
        raise ConfigError(f"{place}.shots: a mapping, not {values['shots']!r}")
    if values.get("train") is not None and not isinstance(values["train"], bool):
        raise ConfigError(f"{place}.train: true, false or null, not {values['train']!r}")
    size = values.get("batch_size", 1)
    if not _is_int(size) or size < 1:
        raise ConfigError(f"{place}.batch_size: a whole number from 1 on, not {size!r}")
    return EvaluationConfig(**values)


def _scalar(value: Any, place: str) -> None:
    if not _is_number(value) and not is_schedule(value):
        raise ConfigError(f"{place}: a number or a schedule, not {value!r}")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_required(item: Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


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
