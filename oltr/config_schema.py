"""Plain data held against the schema of a stage's config: every key known, every value of its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

from oltr.options import is_schedule
from oltr.plain_data import ConfigError
from oltr.plugins import nearest
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


def parse(plain: Mapping[str, Any], place: str) -> StageConfig:
    """Plain data as a config, or a ConfigError that names the key path."""
    _known(plain, StageConfig, place)
    values: dict[str, Any] = {
        key: part(value, f"{place}: {key}", NetworkPart if key in ("backbone", "classifier") else Part)
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


def _known(plain: Any, make: type, place: str) -> None:
    if not isinstance(plain, Mapping):
        raise ConfigError(f"{place}: a mapping of keys, not {plain!r}")
    names = [item.name for item in fields(make)]
    for key in plain:
        if key not in names:
            raise ConfigError(f"{place}: unknown key {key!r}{nearest(str(key), names)}")


def part(value: Any, place: str, make: type[Part]) -> Part:
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
    losses = tuple(part(loss, f"{place}.{index}", LossPart) for index, loss in enumerate(value))
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
    scaled = value.get("scaled_decode", False)
    if not isinstance(scaled, bool):
        raise ConfigError(f"{place}.scaled_decode: true or false, not {scaled!r}")
    if scaled and size is None:
        raise ConfigError(f"{place}.scaled_decode: down to which size? Set image_size too")
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
    for key in ("channels_last", "compile_losses", "compile_transform", "sync_batchnorm"):
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
        values[key] = tuple(part(item, f"{place}.{key}.{index}", Part) for index, item in enumerate(listed))
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
