"""A user's own Python file in the published form, loaded and called; whatever fails is one line that names the file."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from oltr.contracts import RunError, UserError
from oltr.published.config_file import as_published
from oltr.published.error_line import told
from oltr.published.originals import checksum


def made(file: str, maker: str, arguments: Sequence[Any], sha256: str | None = None) -> nn.Module:
    """What ``maker`` of the file makes of the arguments, by position, as the published code calls it.

    A file whose checksum is not ``sha256``, where that is given, is refused.
    """
    if sha256 is not None and Path(file).is_file() and checksum(file) != sha256:
        raise UserError(f"{file}: it is not the file that the config was written for (SHA-256 {sha256[:12]}…)")
    function = getattr(_loaded(file), maker, None)
    if not callable(function):
        raise UserError(f"{file}: there is no function {maker}(...) in it; the published code calls it")
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        raise UserError(
            f"{file}: {maker}{inspect.signature(function)} cannot be called with {_shown(arguments)}: {error}; "
            "the config's values go in by their order"
        ) from None
    except ValueError:
        pass  # a callable without a signature: the call itself tells
    with explained(file, f"{maker}({_shown(arguments)})"), as_published():
        found = function(*arguments)
    if not isinstance(found, nn.Module):
        raise UserError(f"{file}: {maker}(...) returns a {type(found).__name__}, not a torch.nn.Module")
    return found


@contextmanager
def explained(file: str, what: str = "") -> Iterator[None]:
    """Errors of the user's code in one line, a UserError: where in the file, what, and what may help."""
    try:
        yield
    except (UserError, RunError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{told(error, file)}{f' (in {what})' if what else ''}{_advice(error)}") from error


def _loaded(file: str) -> ModuleType:
    path = Path(file)
    if not path.is_file():
        raise UserError(f"{file}: no such file in {Path.cwd()}; run where the paths of the config begin")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    with explained(file), as_published():
        spec.loader.exec_module(module)
    return module


def _advice(error: BaseException) -> str:
    words = str(error)
    if isinstance(error, ModuleNotFoundError):
        return "; files that it imports are looked for in the working directory, then among installed packages"
    if any(word in words.lower() for word in ("cuda", "nvidia")) and not torch.cuda.is_available():
        return "; there is no CUDA device here: take .cuda() out of the file, the run puts the network on its device"
    if "weights_only" in words:
        return "; let torch.load in that file have weights_only=False, if you trust the weights"
    return ""


def _shown(arguments: Sequence[Any]) -> str:
    return ", ".join(map(repr, arguments)) or "nothing"
