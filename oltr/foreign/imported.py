"""What a checkpoint made elsewhere comes to in a run of ours: its weights, and where they are from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from oltr.experiment import Experiment
from oltr.foreign.checkpoints import fill
from oltr.foreign.forms import Foreign
from oltr.provenance import collect


def as_best(experiment: Experiment, foreign: Foreign, path: Path, command: str) -> dict[str, Any]:
    """The content of a `best.pt` with the weights of ``foreign``, loaded strictly into the experiment's pair."""
    fill(experiment.pair, foreign)
    pair: dict[str, Tensor] = {key: value.detach().cpu() for key, value in experiment.pair.state_dict().items()}
    epoch = foreign.facts.get("best_epoch")
    facts = provenance(experiment, [path], command, form=foreign.form, **foreign.facts)
    return {
        "pair": pair,
        "epoch": None if epoch is None else int(epoch) - 1,
        "accuracy": foreign.facts.get("best_acc"),
        "facts": json.dumps(facts),
    }


def provenance(experiment: Experiment, paths: Sequence[Path], command: str, **told: Any) -> dict[str, Any]:
    """The provenance of an imported run: of what files it is made, and what they tell of themselves."""
    facts = collect(experiment.config, experiment.device, experiment.splits.manifest, command)
    files = [{"name": path.name, "sha256": sha256(path)} for path in paths]
    return {**facts, "starts_from": None, "imported": {"files": files, **told}}


def sha256(path: Path) -> str:
    """The checksum of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
