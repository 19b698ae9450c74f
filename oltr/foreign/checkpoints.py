"""Checkpoints of others, read into our networks, and ours in the form of the published code."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from oltr.contracts import UserError
from oltr.foreign.forms import PARALLEL, PLAIN, Foreign, recognised, run_checkpoint
from oltr.foreign.pickles import unpickled
from oltr.networks.pair import NetworkPair
from oltr.networks.weights import child_state, load_strict

PUBLISHED = "final_model_checkpoint.pth"
"""The file name that the published code writes and reads."""

log = logging.getLogger("oltr")


def read_checkpoint(path: Path) -> Foreign:
    """The weights at ``path`` in any form that is known; UserError, in one line, for all else. No code is run."""
    return recognised(path, unpickled(path))


def whole_backbone(foreign: Foreign, own: Iterable[str] = ()) -> dict[str, Tensor]:
    """The backbone as its file has it, for one whose keys are ``own``.

    That of a plain state dict keeps its ``fc``, which the user lists as unused.
    """
    rest = foreign.classifier if foreign.form == PLAIN and foreign.classifier else {}
    return _for({**foreign.backbone, **rest}, foreign, tuple(own))


def pair_state(foreign: Foreign, own: Iterable[str] = ()) -> dict[str, Tensor]:
    """The weights as the state dict of a pair whose keys are ``own``: `backbone.…`, `classifier.…`, `memory.centroids`.

    Without ``own`` the pair is of our parts. With it, a user's own network in its wrapper gets back its ``module.``.
    """
    keys = tuple(own)
    state: dict[str, Tensor] = {}
    for part, weights in (("backbone", foreign.backbone), ("classifier", foreign.classifier or {})):
        within = tuple(key.removeprefix(f"{part}.") for key in keys if key.startswith(f"{part}."))
        state |= {f"{part}.{key}": value for key, value in _for(weights, foreign, within).items()}
    if foreign.centroids is not None:
        state["memory.centroids"] = foreign.centroids
    return state


def fill(pair: NetworkPair, foreign: Foreign) -> None:
    """Load a whole pair, strictly, and say in the log what was loaded; what does not fit is a UserError."""
    own = pair.state_dict()
    state, path = pair_state(foreign, own), foreign.path
    needs_classifier = any(key.startswith("classifier.") for key in own)
    if needs_classifier and not foreign.classifier:
        raise UserError(f"{path}: it holds a backbone and no classifier: start a stage from it (stage.weights)")
    if "scales" in (foreign.classifier or {}) and not any(key.endswith(".scales") for key in own):
        raise UserError(
            f"{path}: its classifier has learnable scales (Decoupling's LWS), for which there is no part here; "
            "its backbone can start a stage (stage.weights)"
        )
    lacks_memory = pair.memory is not None and foreign.centroids is None
    if lacks_memory and getattr(pair.classifier, "needs_memory", False):
        raise UserError(f"{path}: it holds no class centroids, and the config has a memory: is it another stage's?")
    if pair.memory is None and foreign.centroids is not None:
        raise UserError(f"{path}: it holds class centroids, and the config has no memory: is it another stage's?")
    matched = load_strict(pair, state, str(path), new=("memory",) if lacks_memory else (), hint=False)
    log.info("%s; %s", foreign, matched)
    if lacks_memory:
        log.warning("%s: it holds no class centroids, which the classifier does not read: they stay as built", path)


def tell_left(state: Mapping[str, Tensor], source: str, *parts: str) -> None:
    """Log those ``parts`` of a pair's weights that a stage which starts from them has no use for."""
    counts = {part: len(child_state(state, part)) for part in parts}
    left = [f"{part} ({count})" for part, count in counts.items() if count]
    if left:
        log.info("not taken over from %s: %s", source, ", ".join(left))


def published_form(content: Mapping[str, Any]) -> dict[str, Any]:
    """What `best.pt` holds as the published code stores it; epochs count from 1."""
    foreign = run_checkpoint(Path("best.pt"), content)
    networks = {"feat_model": foreign.backbone, "classifier": foreign.classifier or {}}
    return {
        "epoch": foreign.facts["epoch"],
        "best_epoch": foreign.facts["best_epoch"],
        "state_dict_best": {
            name: OrderedDict((f"{PARALLEL}{key}", value) for key, value in state.items())
            for name, state in networks.items()
        },
        "best_acc": foreign.facts["best_acc"],
        "centroids": foreign.centroids,
    }


def _for(weights: Mapping[str, Tensor], foreign: Foreign, own: tuple[str, ...]) -> dict[str, Tensor]:
    """Weights under the names that a network with the keys ``own`` has; counts that it does not keep are left out."""
    prefix = PARALLEL if own and all(key.startswith(PARALLEL) for key in own) else ""
    named = {f"{prefix}{key}": value for key, value in weights.items()}
    uncounted = {f"{prefix}{key}" for key in foreign.counted} - set(own) if own else set()
    return {key: value for key, value in named.items() if key not in uncounted}
