"""What options a part declares, and whether a value from a config can stand for one of them."""

from __future__ import annotations

import collections.abc
import contextlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

RESERVED = ("name", "weight", "optim", "only", "rest")
"""Keys beside a part's options in a config; no part may use them as options."""


class OptionError(Exception):
    """A part or an option that cannot be used as the config asks; one line."""


def is_schedule(value: Any) -> bool:
    """Whether a value describes a schedule: a mapping with a ``name``."""
    return isinstance(value, Mapping) and "name" in value


def declared(part: Callable[..., Any], place: str) -> dict[str, tuple[bool, Any]]:
    """Of each parameter, whether it is required and its type; only what can be given by keyword is accepted."""
    found: dict[str, tuple[bool, Any]] = {}
    hints = _hints(part)
    for key, parameter in inspect.signature(part).parameters.items():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise OptionError(f"{place} declares '{parameter}': a part takes keyword options only")
        if key in RESERVED:
            raise OptionError(f"{place} declares an option {key!r}, a name that configs keep for themselves")
        found[key] = (parameter.default is parameter.empty, hints.get(key, Any))
    return found


def _hints(part: Callable[..., Any]) -> dict[str, Any]:
    """The type of each parameter; one whose annotation does not resolve is left out: it is checked by name only."""
    function: Any = part.__init__ if isinstance(part, type) else part  # type: ignore[misc]
    names = getattr(inspect.unwrap(function), "__globals__", {})
    found: dict[str, Any] = {}
    for key, annotation in getattr(function, "__annotations__", {}).items():
        alone = types.SimpleNamespace(__annotations__={key: annotation})
        with contextlib.suppress(NameError, TypeError, AttributeError, SyntaxError):
            found |= typing.get_type_hints(alone, names)
    return found


def fits(value: Any, hint: Any) -> bool:
    """Whether a value from YAML can stand where ``hint`` is declared; types that YAML cannot write are let through."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if is_schedule(value) or (callable(value) and hint not in (bool, int, float, str)):
        return hint not in (bool, int, float, str, type(None)) and origin not in (list, tuple, collections.abc.Sequence)
    if hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (bool, str):
        return isinstance(value, hint)
    if origin is tuple and arguments[-1] is not ...:
        return isinstance(value, list | tuple) and len(value) == len(arguments) and all(map(fits, value, arguments))
    if origin in (list, tuple, collections.abc.Sequence) or hint in (list, tuple):
        element = arguments[0] if arguments else Any
        return isinstance(value, list | tuple) and all(fits(item, element) for item in value)
    if origin in (dict, collections.abc.Mapping) or hint is dict:
        return isinstance(value, Mapping)
    if isinstance(hint, type) and getattr(hint, "_is_protocol", False):
        return callable(value)
    return isinstance(value, hint) if isinstance(hint, type) else True


def say(hint: Any) -> str:
    """A type in a user's words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "a word", type(None): "null"}
    if hint in words:
        return words[hint]
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(say(argument) for argument in arguments))
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(argument) for argument in arguments)
    if origin is tuple and arguments[-1] is not ...:
        return f"a list of {len(arguments)}"
    if origin in (list, tuple, collections.abc.Sequence) or hint in (list, tuple):
        return "a list"
    if origin in (dict, collections.abc.Mapping):
        return "a mapping"
    return "a schedule" if getattr(hint, "_is_protocol", False) else str(getattr(hint, "__name__", hint))
