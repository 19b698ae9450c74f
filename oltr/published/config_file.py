"""A published Python config executed, and its dictionaries with account of what was read. Standard library only."""

from __future__ import annotations

import contextlib
import numbers
import operator
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from oltr.contracts import UserError
from oltr.plugins import nearest
from oltr.published.error_line import told

_REQUIRED: Any = object()


class Keys:
    """A dictionary of a config that remembers which keys it was asked for, so that no other stays unmentioned."""

    def __init__(self, content: Any, place: str, path: str = "") -> None:
        if not isinstance(content, dict):
            raise UserError(f"{place}: {path or 'config'} is a dictionary, not {content!r}")
        self.path = path
        self._content, self._place = content, place
        self._asked: set[Any] = set()
        self._sections: dict[str, Keys] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def at(self, key: object) -> str:
        """The path of a key, for messages."""
        return f"{self.path}.{key}" if self.path else str(key)

    def error(self, key: str, message: str) -> UserError:
        return UserError(f"{self._place}: {self.at(key)}: {message}")

    def value(self, key: str, default: Any = _REQUIRED) -> Any:
        self._asked.add(key)
        if key not in self._content and default is _REQUIRED:
            raise UserError(f"{self._place}: {self.at(key)} is missing{nearest(key, map(str, self._content))}")
        return self._content.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Put another value where ``key`` stands, or at the end."""
        self._content = {**self._content, key: value}

    def section(self, key: str) -> Keys:
        """The dictionary at ``key``, one and the same at every call."""
        if key not in self._sections:
            self._sections[key] = Keys(self.value(key), self._place, self.at(key))
        return self._sections[key]

    def whole(self, key: str, default: Any = _REQUIRED, *, low: int = 0) -> int:
        value = _plain(self.value(key, default))
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise self.error(key, f"a whole number from {low} on, not {value!r}")
        return value

    def number(self, key: str) -> float:
        value = _plain(self.value(key))
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.error(key, f"a number, not {value!r}")
        return value

    def word(self, key: str) -> str:
        value = _plain(self.value(key))
        if not isinstance(value, str) or not value:
            raise self.error(key, f"a word, not {value!r}")
        return value

    def in_order(self) -> dict[str, Any]:
        """All values in the order in which they stand, which is that of the call they go into."""
        self._asked |= set(self._content)
        return {str(_plain(key)): _storable(value, self, str(key)) for key, value in self._content.items()}

    def unread(self) -> Iterator[str]:
        """A line for each key that nobody asked for, here and below."""
        for key in self._content:
            if key not in self._asked:
                known = {str(asked) for asked in self._asked} - {str(kept) for kept in self._content}
                yield f"{self.at(key)} has no effect: no such key is read{nearest(str(key), known)}"
        for section in self._sections.values():
            yield from section.unread()


def run_config(path: Path) -> Keys:
    """The dictionary ``config`` of the Python file at ``path``, which is executed in a module of its own."""
    if not path.is_file():
        beside = path.with_suffix(".yaml")
        there = [str(found) for kind in ("*.py", "*.yaml") for found in path.parent.glob(kind)]
        hint = f"; there is {beside}" if beside.is_file() else nearest(str(path), there)
        raise UserError(f"{path}: no such config{hint}")
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        with as_published():
            exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        raise UserError(told(error, path)) from error
    if "config" not in module.__dict__:
        raise UserError(f"{path}: no published config: it defines no dictionary named config")
    return Keys(module.__dict__["config"], str(path))


@contextlib.contextmanager
def as_published() -> Iterator[None]:
    """The working directory first among those that imports search, and prints kept off the results on stdout."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)


def _plain(value: Any) -> Any:
    """A number, word or path of whatever kind as Python's own; any other value as it is."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return operator.index(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)  # of an enumeration too, whose own str() gives the member's name
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _storable(value: Any, keys: Keys, key: str) -> Any:
    """The value, if it is plain data: the run's folder keeps it."""
    value = _plain(value)
    if isinstance(value, list | tuple):
        return [_storable(item, keys, key) for item in value]
    if isinstance(value, dict):
        return {str(_plain(name)): _storable(item, keys, key) for name, item in value.items()}
    if value is not None and not isinstance(value, bool | int | float | str):
        raise keys.error(key, f"a {type(value).__name__} cannot be stored with the run; write numbers and words only")
    return value
