"""Trains the four stages with our runner, from the published configs, and measures the same as of theirs."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import parity_folder
from benchmarks.parity_measured import Arrays, Measured, Record, moments
from benchmarks.parity_runs import RUNS, ParityRun
from oltr.folder import RunFolder
from oltr.predictions import Predictions
from oltr.run import Request, run_stage
from oltr.transforms.imagenet import ImageNetTest
from oltr.transforms.normalise import IMAGENET_MEAN, IMAGENET_STD

TRANSFORMS = {"float32": "{name: imagenet_test, resize: 256, size: 224}", "float64": f"{__name__}:WideTest"}


class WideTest(ImageNetTest):
    """The test transform of ImageNet with float64 arithmetic."""

    def __init__(self) -> None:
        super().__init__(resize=256, size=224)

    def batch(self, images: Tensor, generator: torch.Generator) -> Tensor:
        mean, std = (torch.tensor(values).double().view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        return (images.double() / 255 - mean) / std


def train(precision: str, tell: Callable[[str], None], names: Collection[str] | None = None) -> Record:
    """What our runner computes, by run: all, or those of ``names``."""
    found = {}
    with tempfile.TemporaryDirectory() as place, _inside(Path(place)), _default_type(precision):
        parity_folder.write(Path())
        for run in RUNS:
            if names is None or run.name in names:
                tell(f"ours, {precision}: {run.name}")
                found[run.name] = measured(_train(run, TRANSFORMS[precision]))
    return found


def _train(run: ParityRun, transform: str) -> RunFolder:
    overrides = (
        f"sampler={{name: listed, file: {run.order}}}",
        f"initial_weights={run.weights}",
        f"test_transform={transform}",
        f"train_transform={transform}",  # the same one: nothing is drawn
    )
    request = Request(
        config=run.config, overrides=overrides, options=run.options, data_root=Path("images"), device="cpu"
    )
    return run_stage(request)


def measured(run: RunFolder) -> Measured:
    """The numbers of a finished run."""
    report = json.loads((run.path / "report.json").read_text(encoding="utf-8"))
    best = torch.load(run.best, weights_only=True)
    history = run.history()
    predictions = Predictions.open(run.path / "predictions.h5")
    parts = {name: predictions.part(name) for name in ("test", "open")}
    arrays: Arrays = {f"{name}_logits": part.logits for name, part in parts.items() if part is not None}
    weights = {key: value.numpy() for key, value in best["pair"].items()}
    if "memory.centroids" in weights:
        arrays["centroids"] = weights.pop("memory.centroids")
    (point,) = (point for name, point in report["open"]["msp"]["operating_points"].items() if name.startswith("fixed_"))
    return Measured(
        losses=[list(line["loss"].values()) for line in history],
        val=[_shares(line["val"]) for line in history],
        best_epoch=best["epoch"] + 1,
        test=_shares(report["closed"], f_measure=report["closed"]["macro_f1"]),
        test_open=_shares(point, f_measure=point["f_oltr2020"]["overall"], open_accuracy=point["open_set_accuracy"]),
        arrays={**arrays, **moments(weights)},
    )


def _shares(found: dict[str, Any], **more: float | None) -> dict[str, float | None]:
    return {**{key: found[key] for key in ("accuracy", "many", "medium", "few")}, **more}


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Work in ``folder``: a published config's paths are those of the working directory."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _default_type(precision: str) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, precision))
    try:
        yield
    finally:
        torch.set_default_dtype(before)
