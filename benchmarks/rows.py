"""A row of a benchmark: something of ours beside a plain twin that gives the same result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch


class DisagreementError(Exception):
    """Ours and the twin give different results, so their times say nothing."""


def unchanged(result: Any) -> Any:
    return result


@dataclass(frozen=True, kw_only=True)
class Case:
    """A row made ready to run: its inputs exist, and each contender is a call without arguments."""

    ours: Callable[[], Any]
    twin: Callable[[], Any]
    yardstick: Callable[[], Any] | None = None
    """Something else to set the time beside, whose result is not compared."""
    facts: Callable[[Any], Any] = unchanged
    """What must be equal in both results: numbers, texts, arrays, and mappings and lists of them."""
    tolerance: float = 0.0
    """Largest difference allowed within an array, as a share of its largest value."""
    twin_bytes: int = 0
    """Memory that the twin takes at most, where that is so much that it may not be there."""

    @property
    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"ours": self.ours, "twin": self.twin} | (
            {} if self.yardstick is None else {"yardstick": self.yardstick}
        )


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table, in two sizes: the one that is measured, and a tiny one for tests and warming up."""

    name: str
    what: str
    """With the sizes in braces."""
    twin: str
    make: Callable[..., Case]
    """Takes a folder of its own and the sizes."""
    full: Mapping[str, int]
    tiny: Mapping[str, int]
    per: str | None = None
    """The size that a rate counts, such as ``images``."""
    yardstick: str | None = None
    memory: bool = False
    heavy: bool = False
    """Left out of a quick run."""

    def case(self, folder: Path, *, tiny: bool = False) -> Case:
        torch.manual_seed(0)
        return self.make(folder, **(self.tiny if tiny else self.full))


def check(name: str, case: Case) -> None:
    """Run ours and the twin once and compare; a DisagreementError names the row and the place."""
    ours, twin = case.facts(case.ours()), case.facts(case.twin())
    difference = differs(ours, twin, case.tolerance)
    if difference is not None:
        raise DisagreementError(f"{name}: ours and the twin differ{difference}")


def differs(ours: Any, twin: Any, tolerance: float, place: str = "") -> str | None:
    """Where two results differ and how, in words, or None."""
    if isinstance(twin, Mapping):
        if not isinstance(ours, Mapping) or ours.keys() != twin.keys():
            return f"{place}: other keys"
        pairs = [(f"{place} {key}", ours[key], twin[key]) for key in twin]
    elif isinstance(twin, Sequence) and not isinstance(twin, (str, bytes)):
        if not isinstance(ours, Sequence) or len(ours) != len(twin):
            return f"{place}: other lengths"
        pairs = [(f"{place} [{index}]", *pair) for index, pair in enumerate(zip(ours, twin, strict=True))]
    elif isinstance(twin, (float, np.ndarray, torch.Tensor)) and ours is not None:
        return _array_differs(np.asarray(ours), np.asarray(twin), tolerance, place)
    else:
        return None if ours == twin else f"{place}: {ours!r} and {twin!r}"
    return next((found for key, a, b in pairs if (found := differs(a, b, tolerance, key)) is not None), None)


def _array_differs(ours: Any, twin: Any, tolerance: float, place: str) -> str | None:
    if ours.shape != twin.shape:
        return f"{place}: shapes {ours.shape} and {twin.shape}"
    if not twin.size:
        return None
    twin = twin.astype(np.float64)
    gap, scale = np.abs(ours.astype(np.float64) - twin).max(), np.abs(twin).max()
    return None if gap <= tolerance * scale else f"{place}: by {gap:.3g} where the largest value is {scale:.3g}"
