"""Weights as other programs store them: the published OLTR code and its kin, plain state dicts, and our own runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from oltr.contracts import UserError
from oltr.networks.weights import child_state

PARALLEL = "module."
"""What DataParallel puts before every key; so does our wrapper of a user's own network."""
WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Keys under which training scripts put the state dict of a whole network."""
OF_A_PAIR = ("backbone.", "classifier.", "memory.centroids")
"""How the keys of our network pairs begin."""
PLAIN = "plain state dict"
OWN = "checkpoint of a run"


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """Weights as another program stored them: by part, without ``module.``, on the CPU.

    ``form`` says which kind of file it was. The classifier of a plain state dict is its ``fc``; it is None where there
    is none. ``facts`` are ``epoch`` (the last), ``best_epoch`` (both count from 1) and ``best_acc``, None if not told.
    """

    path: Path
    form: str
    backbone: Mapping[str, Tensor]
    classifier: Mapping[str, Tensor] | None = None
    centroids: Tensor | None = None
    facts: Mapping[str, float | None] = field(default_factory=dict)
    counted: tuple[str, ...] = ()
    """Counts of batches that the file is too old to have: they are 0 here."""

    def __str__(self) -> str:
        parts = [f"backbone {len(self.backbone)}"]
        parts += [] if self.classifier is None else [f"classifier {len(self.classifier)}"]
        parts += [] if self.centroids is None else ["class centroids"]
        told = [f"{name} {value:g}" for name, value in self.facts.items() if value is not None]
        zeros = [f"{len(self.counted)} num_batches_tracked set to 0"] if self.counted else []
        return f"{self.path}: {self.form}; " + ", ".join(parts + told + zeros)


def recognised(path: Path, content: Any) -> Foreign:
    """The weights in ``content``, which was read from ``path``; UserError where it has none of the known forms."""
    if isinstance(content, Mapping):
        if "pair" in content:
            return run_checkpoint(path, content)
        for key in ("state_dict_best", "state_dict"):
            networks = content.get(key)
            if isinstance(networks, Mapping) and "feat_model" in networks:
                return _published(path, content, networks, best=key == "state_dict_best")
        if _is_state(content) and all(key.startswith(OF_A_PAIR) for key in content):
            return run_checkpoint(path, {"pair": content})
        for key in WRAPPERS:
            if _is_state(content.get(key)):
                return _plain(path, content[key], content)
        if _is_state(content):
            return _plain(path, content, {})
        held = ", ".join(map(repr, list(content)[:6])) or "nothing"
    else:
        held = f"a {type(content).__name__}"
    raise UserError(f"{path}: weights in no known form (it holds {held}); save the network's state dict alone")


def _published(path: Path, content: Mapping[str, Any], networks: Mapping[str, Any], *, best: bool) -> Foreign:
    """OLTR's, CFL's and Decoupling's `final_model_checkpoint.pth`, and Decoupling's `latest_model_checkpoint.pth`."""
    for name, state in networks.items():
        if name not in ("feat_model", "classifier"):
            raise UserError(f"{path}: an unknown network {name!r} beside feat_model and classifier")
        if not _is_state(state) and not (name == "classifier" and state == {}):
            raise UserError(f"{path}: {name} is not a state dict")
    centroids = content.get("centroids")
    if centroids is not None and not (isinstance(centroids, Tensor) and centroids.ndim == 2):
        raise UserError(f"{path}: its centroids are not a tensor of one row a class")
    classifier = networks.get("classifier")
    backbone, counted = _counted(_bare(networks["feat_model"]))
    return Foreign(
        path=path,
        form="published checkpoint" if best else "published checkpoint of the last epoch",
        backbone=backbone,
        classifier=None if classifier is None else _bare(classifier),
        centroids=None if centroids is None else centroids.detach(),
        facts={name: _number(content.get(name)) for name in ("epoch", "best_epoch", "best_acc")},
        counted=counted,
    )


def _plain(path: Path, state: Mapping[str, Tensor], around: Mapping[str, Any]) -> Foreign:
    """A whole network's state dict, such as torchvision's files and the Caffe weights of the published Places-LT."""
    bare, counted = _counted(_bare(state))
    classifier = {key: value for key, value in bare.items() if key.startswith("fc.")}
    return Foreign(
        path=path,
        form=PLAIN,
        backbone={key: value for key, value in bare.items() if key not in classifier},
        classifier=classifier or None,
        facts={"epoch": _number(around.get("epoch")), "best_epoch": None, "best_acc": _number(around.get("best_acc"))},
        counted=counted,
    )


def run_checkpoint(path: Path, content: Mapping[str, Any]) -> Foreign:
    """A run's best.pt or last.pt, or the state dict of its pair alone as ``pair``."""
    pair = content["pair"]
    if not _is_state(pair) or not all(key.startswith(OF_A_PAIR) for key in pair):
        raise UserError(f"{path}: its pair is none of this suite's: not all of its keys are backbone.… or classifier.…")
    try:
        facts = json.loads(content.get("facts", "{}"))
        told = facts.get("imported") or _told(content, facts)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: the facts of its run are damaged") from error
    return Foreign(
        path=path,
        form=OWN,
        backbone=_bare(child_state(pair, "backbone")),
        classifier=_bare(child_state(pair, "classifier")),
        centroids=pair.get("memory.centroids"),
        facts={name: _number(told.get(name)) for name in ("epoch", "best_epoch", "best_acc")},
    )


def _told(content: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Epochs from 1 and the accuracy, of a checkpoint of ours that was trained here."""
    if "epochs_done" in content:
        return {"epoch": content["epochs_done"], "best_acc": content.get("best")}
    epoch = content.get("epoch")
    return {
        "epoch": facts.get("config", {}).get("epochs"),
        "best_epoch": None if epoch is None else epoch + 1,
        "best_acc": content.get("accuracy"),
    }


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(key, str) and isinstance(item, Tensor) for key, item in value.items())
    )


def _bare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state without the prefix that DataParallel gives to every key."""
    shared = all(key.startswith(PARALLEL) for key in state)
    return {key.removeprefix(PARALLEL) if shared else key: value.detach() for key, value in state.items()}


def _counted(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state with the counts of batches that files from before PyTorch 0.4.1 lack, and their keys."""
    whole: dict[str, Tensor] = {}
    added = []
    for key, value in state.items():
        whole[key] = value
        count = key.removesuffix("running_var") + "num_batches_tracked"
        if key.endswith("running_var") and count not in state:
            whole[count] = torch.tensor(0)
            added.append(count)
    return whole, tuple(added)


def _number(value: Any) -> float | None:
    """A finite number as Python has it; whole ones stay whole."""
    if isinstance(value, Tensor | np.generic) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return value
