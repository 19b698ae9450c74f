"""The scale study: how time and memory grow with classes, images, processes and training features.

Each point is measured in a process of its own, one after the other, so that its peak of memory is its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oltr.contracts import RunError

ROOT = Path(__file__).parents[1]


LARGE = {"width": 64, "side": 64, "steps": 3}
"""A network of which a step takes seconds."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A kind of point over a range of sizes; several curves may share a picture."""

    study: str
    """The picture that it is drawn in."""
    name: str
    label: str
    point: str
    size: str
    """The name of what grows."""
    sizes: Sequence[int]
    quick: Sequence[int]
    tiny: Sequence[int]
    options: Mapping[str, Any] = field(default_factory=dict)
    tiny_options: Mapping[str, Any] = field(default_factory=dict)


CURVES = (
    Curve(
        study="classes",
        name="classes",
        label="classifier and centroid loss",
        point="head",
        size="classes",
        sizes=(100, 1000, 8142, 20_000),
        quick=(100, 1000),
        tiny=(5, 9),
        tiny_options={"feature_dim": 4, "batch": 6, "calls": 1},
    ),
    Curve(
        study="images",
        name="images",
        label="list, data set and sampler",
        point="entries",
        size="images",
        sizes=(10_000, 100_000, 1_000_000, 10_000_000),
        quick=(10_000, 100_000),
        tiny=(40, 80),
    ),
    *(
        Curve(
            study="processes",
            name=name,
            label=label,
            point="processes",
            size="count",
            sizes=(1, 2, 3, 4),
            quick=(1, 2),
            tiny=(1,),
            options=options,
            tiny_options={"steps": 2, "batch": 8, "side": 8, "width": 2},
        )
        for name, label, options in (
            ("processes", "small", {}),
            ("processes_large", "large", LARGE),
            ("processes_apart", "large, batch norm apart", {**LARGE, "synced": False}),
        )
    ),
    *(
        Curve(
            study="scorers",
            name=name,
            label=name,
            point="scorer",
            size="images",
            sizes=(10_000, 30_000, 115_000),
            quick=(10_000,),
            tiny=(60,),
            options={"name": name},
            tiny_options={"features": 4, "classes": 3},
        )
        for name in ("knn", "mahalanobis", "vim")
    ),
)


def run_curves(
    curves: Sequence[Curve], which: str, tell: Callable[[str], None], *, threads: int = 1
) -> list[dict[str, Any]]:
    """Every curve measured at its ``sizes``, ``quick`` or ``tiny`` ones, as plain data."""
    found = []
    for curve in curves:
        options = {**curve.options, **(curve.tiny_options if which == "tiny" else {})}
        points = []
        for size in getattr(curve, which):
            points.append({curve.size: size, **measure_point(curve.point, {**options, curve.size: size}, threads)})
            tell(f"{curve.study}, {curve.label}: {size:,} {curve.size}")
        found.append({"study": curve.study, "label": curve.label, "size": curve.size, "points": points})
    return found


def measure_point(point: str, options: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """One point, in a process of its own or, where it is one of several processes, in as many."""
    words = ["-m", "benchmarks.scale_points", point, str(threads), json.dumps(dict(options))]
    if point == "processes":
        words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(options["count"]), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-W", "ignore", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise RunError(f"{point} {json.dumps(dict(options))}: the process failed: {last}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
