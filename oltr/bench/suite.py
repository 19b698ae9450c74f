"""A suite: methods, each a config with overrides, times seeds; read from YAML and held against what is known."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from oltr.contracts import UserError
from oltr.plain_data import ConfigError, read
from oltr.plugins import nearest
from oltr.stage_config import EvaluationConfig


@dataclass(frozen=True, kw_only=True)
class Method:
    """A row of the leaderboard: a config, and what it changes in it."""

    name: str
    config: Path
    overrides: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """The name as a folder's."""
        return re.sub(r"[^\w.-]+", "_", self.name).strip("_.").lower()


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Everything that a benchmark runs."""

    name: str
    path: Path
    methods: tuple[Method, ...]
    seeds: tuple[int, ...] = (0,)
    overrides: tuple[str, ...] = ()
    """For every stage of every method."""
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    """What stands in the place of the methods' own ``evaluation``, key by key."""
    baseline: str | None = None
    """The method that the others are tested against."""

    @property
    def evaluated(self) -> tuple[str, ...]:
        """``evaluation`` as overrides."""
        return tuple(f"evaluation.{key}={_flow(value)}" for key, value in self.evaluation.items())


def load_suite(path: Path) -> Suite:
    """The suite at ``path``; what is unknown, missing or twice is one line, with the nearest right answer."""
    plain = read(path)
    names = [item.name for item in fields(Suite) if item.name != "path"]
    _known(plain, names, str(path))
    for key in ("name", "methods"):
        if not plain.get(key):
            raise ConfigError(f"{path}: the key {key!r} is missing")
    if not isinstance(plain["name"], str):
        raise ConfigError(f"{path}: name: the name of the suite, not {plain['name']!r}")
    methods = _methods(plain["methods"], path)
    baseline = plain.get("baseline")
    if baseline is not None and baseline not in [method.name for method in methods]:
        raise ConfigError(f"{path}: baseline: {_no_method(baseline, methods)}")
    evaluation = plain.get("evaluation") or {}
    _known(evaluation, [item.name for item in fields(EvaluationConfig)], f"{path}: evaluation")
    return Suite(
        name=plain["name"],
        path=path,
        methods=methods,
        seeds=_seeds(plain.get("seeds", [0]), path),
        overrides=_overrides(plain.get("overrides"), f"{path}: overrides"),
        evaluation=evaluation,
        baseline=baseline,
    )


def restricted(suite: Suite, *, seeds: Sequence[int] | None = None, only: Sequence[str] | None = None) -> Suite:
    """The suite as though it had been written with these seeds, and with these methods alone."""
    for name in only or ():
        if name not in [method.name for method in suite.methods]:
            raise UserError(f"--only: {_no_method(name, suite.methods)}")
    if seeds:
        suite = replace(suite, seeds=tuple(dict.fromkeys(seeds)))
    if only:
        kept = tuple(method for method in suite.methods if method.name in only)
        suite = replace(suite, methods=kept, baseline=suite.baseline if suite.baseline in only else None)
    return suite


def _methods(value: Any, path: Path) -> tuple[Method, ...]:
    place = f"{path}: methods"
    if not isinstance(value, Mapping):
        raise ConfigError(f"{place}: a mapping of a name to its config, not {value!r}")
    methods = tuple(_method(name, plain, path) for name, plain in value.items())
    for index, method in enumerate(methods):
        if not method.slug:
            raise ConfigError(f"{place}: {method.name!r}: a name has a letter or a digit, to name a folder by")
        for other in methods[:index]:
            if other.slug == method.slug:
                raise ConfigError(f"{place}: {other.name!r} and {method.name!r} would have the same folder")
    return methods


def _method(name: Any, plain: Any, path: Path) -> Method:
    place = f"{path}: methods.{name}"
    if not isinstance(name, str):
        raise ConfigError(f"{place}: the name is text: write {str(name)!r}, in quotes")
    _known(plain, ("config", "overrides"), place)
    if not isinstance(plain.get("config"), str):
        raise ConfigError(f"{place}: the key 'config' is missing: a stage's config, from the suite's folder")
    config = path.parent / plain["config"]
    try:
        read(config)
    except ConfigError as error:
        raise ConfigError(f"{place}: config: {error}") from None
    return Method(name=name, config=_short(config), overrides=_overrides(plain.get("overrides"), f"{place}: overrides"))


def _short(path: Path) -> Path:
    """The path as one would type it here."""
    path, here = path.resolve(), Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _seeds(value: Any, path: Path) -> tuple[int, ...]:
    right = isinstance(value, list) and value and all(type(seed) is int and seed >= 0 for seed in value)
    if not right or len(set(value)) < len(value):
        raise ConfigError(f"{path}: seeds: a list of different whole numbers from 0 on, not {value!r}")
    return tuple(value)


def _overrides(value: Any, place: str) -> tuple[str, ...]:
    value = [] if value is None else value
    if not isinstance(value, list) or not all(isinstance(text, str) and "=" in text for text in value):
        raise ConfigError(f'{place}: a list of "key.path=value", not {value!r}')
    return tuple(value)


def _known(plain: Any, names: Sequence[str], place: str) -> None:
    if not isinstance(plain, Mapping):
        raise ConfigError(f"{place}: a mapping of keys, not {plain!r}")
    for key in plain:
        if key not in names:
            raise ConfigError(f"{place}: unknown key {key!r}{nearest(str(key), names)}")


def _no_method(name: Any, methods: Sequence[Method]) -> str:
    return f"no method {name!r}{nearest(str(name), [method.name for method in methods])}"


def _flow(value: Any) -> str:
    """A value as YAML on one line; JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)
