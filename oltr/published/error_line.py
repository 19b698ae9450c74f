"""An error of a user's own Python file in one line: where it began, where it left the user's files, and what it was."""

from __future__ import annotations

import traceback
from pathlib import Path


def told(error: BaseException, file: str | Path) -> str:
    """The error, with its place in ``file``, and in another file of the user's where it came from there."""
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    words = str(error).strip().splitlines()[:1]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno))
        words = [error.msg]
    theirs = [(name, line) for name, line in places if _same(name, file) or _is_users(name)]
    inner, line = theirs[-1] if theirs else (str(file), None)
    if _same(inner, file):
        shown = [_at(file, line)]
    else:
        outer = [number for name, number in theirs if _same(name, file)]
        shown = [_at(file, outer[-1] if outer else None), _at(Path(inner).resolve().relative_to(Path.cwd()), line)]
    return ": ".join([*shown, type(error).__name__, *words])


def _at(file: str | Path, line: int | None) -> str:
    return str(file) if line is None else f"{file}:{line}"


def _same(name: str, file: str | Path) -> bool:
    return Path(name).resolve() == Path(file).resolve()


def _is_users(name: str) -> bool:
    """Whether it is a file below the working directory, and none of ours or of an installed package."""
    path = Path(name).resolve()
    if not path.is_relative_to(Path.cwd()):
        return False
    parts = path.relative_to(Path.cwd()).parts
    return path.is_file() and parts[0] != "oltr" and "site-packages" not in parts
