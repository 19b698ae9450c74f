"""Trains the four stages with a checkout of the published code, and measures what it computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import parity_folder, parity_published, parity_runs
from benchmarks.parity_data import EPOCHS, NAME
from benchmarks.parity_measured import Arrays, Measured, Record, moments
from benchmarks.parity_runs import RUNS, ParityRun
from oltr.contracts import RunError, UserError

PARTS = ("*.py", "models/*.py", "layers/*.py", "loss/*.py", "data/*.py")
"""What is linked of a checkout; its configs and data are ours."""
NEEDED = ("main.py", "run_networks.py", "utils.py", "data/dataloader.py", "models/ResNet10Feature.py")
NEEDED_OF_FORK = ("main.py", "run_networks.py", "loss/asl_focal_loss.py")


def record(
    published: Path, fork: Path | None, precision: str, tell: Callable[[str], None], *, threads: int = 1
) -> Record:
    """What the published code computes, by run; without a fork, of OLTR's two stages alone."""
    demand(published, NEEDED, "a checkout of zhmiao/OpenLongTailRecognition-OLTR")
    if fork is not None:
        demand(fork, NEEDED_OF_FORK, "the folder OLTR of a checkout of lnsmith54/CFL")
    found = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        parity_folder.write(folder)
        for run in RUNS:
            if fork is None and run.forked:
                continue
            tell(f"the published code, {precision}: {run.name}")
            link(folder, published, fork if run.forked else None)
            found[run.name] = _train(folder, run, precision, threads)
    return found


def made_by(published: Path, fork: Path | None) -> dict[str, Any]:
    """How a record was made, for those who read it."""
    with tempfile.TemporaryDirectory() as place:
        parity_folder.write(Path(place))
        inputs = parity_folder.checksum(Path(place))
    return {
        "command": "python -m benchmarks.parity --published OLTR --fork CFL/OLTR --write tests/golden",
        "published": {"repository": "zhmiao/OpenLongTailRecognition-OLTR", "commit": commit_of(published)},
        "fork": None if fork is None else {"repository": "lnsmith54/CFL", "commit": commit_of(fork)},
        "inputs": inputs,
        "patches": list(parity_published.PATCHES),
        "torch": torch.__version__.partition("+")[0],
        "threads": 1,
    }


def _train(folder: Path, run: ParityRun, precision: str, threads: int) -> Measured:
    """One stage trained, then tested closed and open, each by a command of its own."""
    options = [word for name, value in run.options.items() for word in (f"--{name}", str(value))]
    plan = {
        "images": str(folder / "images"),
        "order": parity_folder.rows(folder / run.order),
        "weights": str(folder / run.weights),
        "new": list(parity_runs.NEW_IN_STAGE_2) if run.second else [],
        "precision": precision,
        "threads": threads,
    }
    trained, _ = _command(folder, run, plan, options)
    closed, test = _command(folder, run, plan, [*options, "--test"])
    opened, both = _command(folder, run, plan, [*options, "--test_open"])
    best = torch.load(folder / "logs" / NAME / run.logs / "final_model_checkpoint.pth", weights_only=True)
    arrays = {"test_logits": test["logits"], "open_logits": both["logits"][both["labels"] == -1]}
    if best["centroids"] is not None:
        arrays["centroids"] = best["centroids"].numpy()
    each = len(trained["steps"]) // EPOCHS
    epochs = [trained["steps"][each * epoch : each * (epoch + 1)] for epoch in range(EPOCHS)]
    return Measured(
        losses=[np.mean(np.array(steps), axis=0).tolist() for steps in epochs],
        val=trained["evaluations"],
        best_epoch=best["best_epoch"],
        test=closed["evaluations"][0],
        test_open=opened["evaluations"][0],
        steps=trained["steps"],
        arrays={**arrays, **moments(_named_as_ours(best["state_dict_best"]))},
    )


def _command(
    folder: Path, run: ParityRun, plan: Mapping[str, Any], options: list[str]
) -> tuple[dict[str, Any], Arrays]:
    """Their main.py in a process of its own."""
    record = folder / "record.json"
    whole = {**plan, "record": str(record), "arguments": ["--config", f"./{run.config.as_posix()}", *options]}
    (folder / "plan.json").write_text(json.dumps(whole), encoding="utf-8")
    command = [sys.executable, "-W", "ignore", parity_published.__file__, str(folder / "plan.json")]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": "Agg"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise RunError(f"the published code failed: main.py {' '.join(whole['arguments'])}: {last}")
    with np.load(record.with_suffix(".npz")) as arrays:
        return json.loads(record.read_text(encoding="utf-8")), dict(arrays)


def link(folder: Path, published: Path, fork: Path | None, parts: Sequence[str] = PARTS) -> None:
    """Make ``folder`` look like a checkout: a link to each of its files, the fork's on top."""
    for checkout in (published, fork):
        for file in [] if checkout is None else [file for part in parts for file in checkout.glob(part)]:
            place = folder / file.relative_to(checkout)  # type: ignore[arg-type]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.symlink_to(file.resolve())


def _named_as_ours(networks: Mapping[str, Mapping[str, torch.Tensor]]) -> dict[str, np.ndarray[Any, Any]]:
    return {
        key.replace("module.", f"{part}.", 1): value.numpy()
        for name, part in (("feat_model", "backbone"), ("classifier", "classifier"))
        for key, value in networks[name].items()
    }


def demand(checkout: Path, needed: Sequence[str], what: str) -> None:
    """Raise UserError where a checkout lacks one of these files."""
    for name in needed:
        if not (checkout / name).is_file():
            raise UserError(f"{checkout}: there is no {name}; it should be {what}")


def commit_of(checkout: Path) -> str | None:
    """The commit of a checkout, or None where git knows of none."""
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
