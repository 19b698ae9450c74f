"""What a published piece and ours are compared by: golden numbers, how near ours must come, and account of it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

TESTS = Path(__file__).parent
FOLDER = TESTS / "golden"
DEFAULT = (1e-9, 1e-12)
TOLERANCES: dict[str, tuple[tuple[str, tuple[float, float]], ...]] = {
    "cfl_losses": (
        ("f32/*/grad_mean", (1e-3, 1e-6)),
        ("f32/*", (1e-4, 1e-6)),
        ("extreme/*/f32/grad_none", (1e-3, 1e-4)),
        ("extreme/*/f32/*", (1e-4, 1e-4)),
        ("extreme/*", (1e-6, 1e-9)),
    ),
    "cfl_schedules": (("*/weight_decay", (1e-12, 1e-16)), ("*", (1e-12, 1e-14))),
    "class_means": (("*", (1e-5, 1e-6)),),
    "class_weights": (("cb/weights", (1e-10, 1e-12)),),
    "metrics": (("*/openset_acc", DEFAULT), ("*F_*", (1e-10, 1e-12)), ("*", (1e-12, 1e-12))),
    "oltr_checkpoint": (
        *((f"*/{name}", (1e-4, 1e-5)) for name in ("features", "logits", "centroids")),
        ("*", DEFAULT),
    ),
    "oltr_modules": (
        ("att/grad/fc_spatial.weight*", (1e-5, 1e-7)),
        ("att/grad/*", (1e-8, 1e-11)),
        ("meta/f32/*", (1e-4, 1e-5)),
        ("meta/grad_*", (1e-8, 1e-12)),
        ("dot/*", DEFAULT),
        ("*/grad_x", (1e-8, 1e-12)),
    ),
    "oltr_modules_losses": (("*/f32/*", (1e-4, 1e-5)), ("*/repel_value", (1e-8, 1e-12))),
    "oltr_resnet": (
        ("*/weights_first2", (1e-6, 1e-8)),
        ("*/features_f64", (1e-7, 1e-9)),
        ("*/map_x_mean", (1e-7, 1e-9)),
        ("*/map_*", (1e-6, 1e-9)),
        ("train_mode/features", (1e-6, 1e-8)),
        ("train_mode/bn1_*", (1e-7, 1e-10)),
        ("train_mode/*", (1e-5, 1e-9)),
        ("*", (1e-3, 1e-4)),
    ),
}
"""Relative and absolute, by golden file and array, as they came with the numbers; whole numbers are equal."""


class Golden:
    """The arrays of a golden file, with account of which were read."""

    def __init__(self, name: str) -> None:
        self.name = name
        with np.load(FOLDER / f"{name}.npz") as arrays:
            self._arrays = dict(arrays)
        self.unread = set(self._arrays)

    def __contains__(self, key: str) -> bool:
        return key in self._arrays

    def __getitem__(self, key: str) -> torch.Tensor:
        return torch.from_numpy(np.asarray(self.array(key)).copy())

    def array(self, key: str) -> NDArray[Any]:
        self.unread.discard(key)
        return self._arrays[key]

    def keys(self, pattern: str) -> list[str]:
        return [key for key in self._arrays if fnmatchcase(key, pattern)]

    def cases(self, pattern: str) -> list[str]:
        """What stands before the pattern's last part, of the arrays that match it, in their order."""
        return list(dict.fromkeys(key.rpartition("/")[0] for key in self.keys(pattern)))

    def tolerance(self, key: str) -> tuple[float, float]:
        if self._arrays[key].dtype.kind in "iu":
            return (0.0, 0.0)
        return next((near for pattern, near in TOLERANCES.get(self.name, ()) if fnmatchcase(key, pattern)), DEFAULT)


@dataclass
class Sheet:
    """What of a piece was compared so far."""

    numbers: int = 0
    undefined: int = 0
    """Numbers that the published code gives as NaN."""
    tolerances: set[tuple[float, float]] = field(default_factory=set)

    def hold(self, found: Any, golden: Golden, key: str, at: Any = ...) -> None:
        """Compare ours with the golden array ``key``, or with what of it is ``at``; NaN is counted, not compared."""
        wanted = np.asarray(golden.array(key)[at])
        self.compare(found, wanted, golden.tolerance(key), f"{golden.name}: {key}")

    def compare(self, found: Any, wanted: Any, near: tuple[float, float], name: str) -> None:
        """The same with any numbers of theirs; a deviation is an AssertionError."""
        ours = np.asarray(found.detach() if isinstance(found, torch.Tensor) else found)
        theirs = np.asarray(wanted)
        assert ours.shape == theirs.shape, f"{name}: {ours.shape}, not {theirs.shape}"
        known = ~np.isnan(theirs) if theirs.dtype.kind == "f" else np.ones(theirs.shape, dtype=bool)
        np.testing.assert_allclose(ours[known], theirs[known], rtol=near[0], atol=near[1], err_msg=name)
        self.numbers += int(known.sum())
        self.undefined += int((~known).sum())
        self.tolerances.add(near)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A published piece beside ours: where each lies, and how they are compared."""

    name: str
    published: str
    ours: str
    compare: Callable[[Sheet], None]
    departs: tuple[str, ...] = ()
    """Keys of what differs on purpose, and is not among what is compared."""
    near: str = ""
    """How near, in words, where that is no tolerance of golden arrays."""
    held: str = ""
    """The test that compares, where that is another: ``compare`` then only counts."""


@cache
def golden(name: str) -> Golden:
    return Golden(name)


@cache
def beside(path: str) -> ModuleType:
    """A test file as a module: what a case means is written down once, in the tests of its part."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, TESTS / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
