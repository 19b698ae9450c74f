"""Plain data of a config: YAML read safely and without its traps, overridden by key path, compared, written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from oltr.contracts import UserError
from oltr.plugins import nearest


class ConfigError(UserError):
    """A config that cannot be read, or a key of it that is unknown, missing or of the wrong kind; one line."""


class _Loader(yaml.SafeLoader):
    """YAML without its traps: 5e-4 is a number, only true and false are booleans, a key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: list[Any] = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise ConfigError(f"line {node.start_mark.line + 1}: the key {min(twice, key=str)!r} stands twice")
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag.rpartition(":")[2] not in ("int", "float", "bool", "timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9]\d*)$"), list("-+0123456789"))
_FLOAT = re.compile(
    r"^[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|Inf|INF|nan|NaN))$"
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def read_yaml(text: str, place: str) -> Any:
    """Plain data from YAML; what cannot be read raises ConfigError with the line."""
    try:
        return yaml.load(text, Loader=_Loader)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}:" if mark else ""
        raise ConfigError(f"{place}:{line} not YAML: {getattr(error, 'problem', None) or error}") from None


def read(path: Path) -> dict[str, Any]:
    """The plain data of a config file."""
    if not path.is_file():
        beside = path.with_suffix(".yaml")
        if path.suffix != ".yaml" and beside.is_file():
            raise ConfigError(f"{path}: no such config; there is {beside}")
        if not path.parent.is_dir():
            raise ConfigError(f"{path}: no such config: there is no folder {path.parent}")
        there = sorted(str(found) for found in (path if path.is_dir() else path.parent).glob("*.yaml"))
        wrong = "a folder, not a config" if path.is_dir() else "no such config"
        raise ConfigError(f"{path}: {wrong}{nearest(str(path), there)}")
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"{path}: a config is a .yaml file")
    try:
        plain = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    if not isinstance(plain, dict):
        raise ConfigError(f"{path}: a config is a mapping of keys, not {type(plain).__name__}")
    return plain


def override(plain: dict[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """``plain`` with each ``key.path=value`` set; a list is entered by index."""
    plain = deepcopy(plain)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise ConfigError(f"{assignment!r}: an override is written key.path=value")
        value, keys = read_yaml(text, assignment), path.split(".")
        place: Any = plain
        for depth, key in enumerate(keys):
            here = ".".join(keys[:depth])
            last = depth == len(keys) - 1
            if isinstance(place, list):
                if not key.isdigit() or int(key) >= len(place):
                    raise ConfigError(
                        f"{assignment}: {here!r} is a list of {len(place)}; {key!r} is not an index of it"
                    )
                if last:
                    place[int(key)] = value
                place = place[int(key)] if last else _entered(place, int(key))
            elif isinstance(place, dict):
                if last:
                    place[key] = value
                elif place.get(key) is None:
                    place[key] = {}
                place = place[key] if last else _entered(place, key)
            else:
                raise ConfigError(f"{assignment}: {here!r} is {place!r} and has no key {key!r}")
    return plain


def _entered(place: Any, key: Any) -> Any:
    """What stands at ``key``; a part by its name alone becomes a mapping, so that an option of it can be set."""
    if isinstance(place[key], str):
        place[key] = {"name": place[key]}
    return place[key]


def write_yaml(plain: Mapping[str, Any]) -> str:
    """Plain data as YAML that ``read_yaml`` reads back unchanged."""
    return yaml.dump(dict(plain), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """One line for each key path at which two configs differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from differences(before, after, f"{path}.{index}")
    elif old != new:
        yield f"{path}: {old!r} -> {new!r}"


class _Dumper(yaml.SafeDumper):
    """Floats as YAML 1.1 and 1.2 both read them, and quotes around what either would take for one."""


def _represent_float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    text = repr(value)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    special = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}
    return dumper.represent_scalar("tag:yaml.org,2002:float", special.get(text, text))


_Dumper.add_representer(float, _represent_float)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))  # so the word '0e0' is quoted
