"""What is measured of a run of either program, how it is stored, and how two of them are compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import UserError

Arrays = dict[str, NDArray[Any]]
Record = dict[str, "Measured"]
"""What was measured, by run."""
STORED = "two_stages"
LOSSES = ("total loss", "performance loss", "feature loss")
LEAST_SCALE = 1e-2
"""Below this scale weights are compared as they are: the gradients of some are nothing but rounding."""


class Tolerance(NamedTuple):
    """How far apart two runs of one algorithm may be, as shares of a loss and of an array's scale."""

    losses: float
    weights: float
    logits: float


TOLERANCES = {
    "float64": Tolerance(losses=1e-9, weights=1e-9, logits=1e-6),
    "float32": Tolerance(losses=2e-3, weights=2e-3, logits=1e-2),
}
"""Ten steps make rounding 10,000 times as large. In float32 the published code itself differs by 7e-4 in losses, 9e-4
in centroids and 5e-3 in logits between instruction sets (AVX and SSE); these are two to three times that. In float64
all that is left is 1e-15, but predictions are stored as float32."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One stage's numbers: of each epoch the mean losses over its steps and the validation, then the best weights'."""

    losses: list[list[float]]
    val: list[dict[str, float | None]]
    best_epoch: int
    test: dict[str, float | None]
    test_open: dict[str, float | None]
    arrays: Arrays
    """``test_logits``, ``open_logits``, ``centroids``, and of the ``weight_names`` their ``weight_moments`` [W, 2]."""
    steps: list[list[float]] = field(default_factory=list)
    """The losses of every step, of the published code alone: where two runs part, this shows the place."""


class Row(NamedTuple):
    """One number of both programs, and how far apart the two may be."""

    what: str
    ours: float | None
    theirs: float | None
    allowed: float

    @property
    def agrees(self) -> bool:
        if self.ours is None or self.theirs is None:
            return self.ours is self.theirs
        return abs(self.ours - self.theirs) <= self.allowed


def compare(ours: Measured, theirs: Measured, precision: str) -> Iterator[Row]:
    """Every number of two runs side by side; shares are counts and equal, of arrays there is the distance to zero."""
    tolerance = TOLERANCES[precision]
    for epoch, (mine, other) in enumerate(zip(ours.losses, theirs.losses, strict=True), start=1):
        for name, left, right in zip(LOSSES[: len(other)], mine, other, strict=True):
            yield Row(f"epoch {epoch}: {name}", left, right, tolerance.losses * abs(right))
        yield from _shares(f"epoch {epoch}: val", ours.val[epoch - 1], theirs.val[epoch - 1])
    yield Row("best epoch", ours.best_epoch, theirs.best_epoch, 0.0)
    yield from _shares("test", ours.test, theirs.test)
    yield from _shares("test_open", ours.test_open, theirs.test_open)
    for name, distance in _distances(ours.arrays, theirs.arrays):
        yield Row(f"{name}: distance", distance, 0.0, tolerance.logits if "logits" in name else tolerance.weights)


def _shares(what: str, ours: Mapping[str, float | None], theirs: Mapping[str, float | None]) -> Iterator[Row]:
    for key in ours:
        if not key.endswith("_margin"):  # how clear the published code's decisions were
            yield Row(f"{what} {key}", ours[key], theirs[key], 1e-9)


def _distances(ours: Arrays, theirs: Arrays) -> Iterator[tuple[str, float]]:
    """Of each array the largest difference as a share of its scale; of weights, of that of their tensor."""
    if ours.keys() != theirs.keys() or ours["weight_names"].tolist() != theirs["weight_names"].tolist():
        raise UserError("the two runs have other arrays or weights: not the same network")
    for name in ("test_logits", "open_logits", "centroids"):
        if name in theirs:
            yield name, float(np.abs(ours[name] - theirs[name]).max() / np.abs(theirs[name]).max())
    scale = np.maximum(theirs["weight_moments"][:, 1:], LEAST_SCALE)
    yield "weights", float((np.abs(ours["weight_moments"] - theirs["weight_moments"]) / scale).max())


def moments(weights: Mapping[str, NDArray[Any]]) -> Arrays:
    """The names of weights in order, and of each its mean and the root of its mean square."""
    found = [
        (float(np.mean(value, dtype=np.float64)), _root_mean_square(value)) for _, value in sorted(weights.items())
    ]
    return {"weight_names": np.array(sorted(weights)), "weight_moments": np.array(found)}


def _root_mean_square(value: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(value.astype(np.float64)))))


def save(folder: Path, made: Mapping[str, Any], records: Mapping[str, Record]) -> None:
    """Write the records by precision: numbers as JSON, arrays as npz."""
    plain: dict[str, Any] = {"made": made}
    arrays: Arrays = {}
    for precision, record in records.items():
        plain[precision] = {run: asdict(measured) for run, measured in record.items()}
        for run, measured in record.items():
            del plain[precision][run]["arrays"]
            arrays |= {f"{precision}/{run}/{name}": array for name, array in measured.arrays.items()}
    (folder / f"{STORED}.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    np.savez_compressed(folder / f"{STORED}.npz", **arrays)  # type: ignore[arg-type]


def load(folder: Path) -> tuple[dict[str, Any], dict[str, Record]]:
    """How the records in ``folder`` were made, and the records by precision."""
    try:
        plain = json.loads((folder / f"{STORED}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder}: no {STORED}.json; --published and --write make it") from None
    with np.load(folder / f"{STORED}.npz") as stored:
        arrays = dict(stored)
    made = plain.pop("made")
    records: dict[str, Record] = {}
    for precision, runs in plain.items():
        for run, numbers in runs.items():
            start = f"{precision}/{run}/"
            own = {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
            records.setdefault(precision, {})[run] = Measured(**numbers, arrays=own)
    return made, records
