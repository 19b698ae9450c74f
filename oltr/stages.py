"""How a stage starts: what it takes from the weights of the stage before it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from oltr.contracts import Start, UserError
from oltr.foreign.checkpoints import read_checkpoint, tell_left, whole_backbone
from oltr.networks.pair import NetworkPair
from oltr.networks.weights import child_state, load_strict

log = logging.getLogger("oltr")


class Feature:
    """Training from the start: fresh weights, or a backbone from a file of weights or from the stage before.

    ``weights`` is a checkpoint on disk, of any known form, whose backbone is taken; ``new`` lists children of the
    backbone that it lacks, ``unused`` children that only the file has (the classifier of a pretrained network).
    """

    def __init__(self, *, weights: str | None = None, new: Sequence[str] = (), unused: Sequence[str] = ()) -> None:
        self.weights = weights
        self.new = tuple(new)
        self.unused = tuple(unused)

    def prepare(self, pair: NetworkPair, start: Start) -> None:
        if self.weights is not None and start.state is not None:
            raise UserError("a feature stage starts from `weights` or from `init_from`, not from both")
        if self.weights is not None:
            self._read(Path(self.weights), pair)
        elif start.state is not None:
            _take_backbone(pair, start, self.new)
            tell_left(start.state, start.source, "classifier", "memory")
        fill_memory(pair, start)

    def _read(self, path: Path, pair: NetworkPair) -> None:
        foreign = read_checkpoint(path)
        state = whole_backbone(foreign, pair.backbone.state_dict())
        matched = load_strict(pair.backbone, state, str(path), new=self.new, unused=self.unused)
        log.info("%s; the backbone: %s", foreign, matched)


class MetaEmbedding:
    """Dynamic meta-embedding: the backbone and head of the stage before, and a memory of its class means.

    ``new`` lists children of the backbone that the stage before lacks, such as an attention (Liu et al., 2019).
    """

    def __init__(self, *, new: Sequence[str] = ()) -> None:
        self.new = tuple(new)

    def prepare(self, pair: NetworkPair, start: Start) -> None:
        if start.state is None:
            raise UserError("a meta_embedding stage starts from another: add `init_from: <config>` to the config")
        _take_backbone(pair, start, self.new)
        inherit = getattr(pair.classifier, "inherit", None)
        if inherit is None:
            raise UserError(
                f"the classifier {type(pair.classifier).__name__} has no inherit(state): it cannot start a stage"
            )
        head = child_state(start.state, "classifier")
        try:
            inherit(head)
        except UserError as error:
            raise UserError(f"weights from {start.source}: {error}") from error
        log.info("the classifier from %s: %d tensors taken over", start.source, len(head))
        tell_left(start.state, start.source, "memory")
        fill_memory(pair, start)


def _take_backbone(pair: NetworkPair, start: Start, new: Sequence[str]) -> None:
    matched = load_strict(pair.backbone, child_state(start.state or {}, "backbone"), start.source, new=new)
    log.info("the backbone from %s: %s", start.source, matched)


def fill_memory(pair: NetworkPair, start: Start) -> None:
    """Set the memory, where there is one, to the class means over the plain training set."""
    if pair.memory is not None:
        means = start.class_means()
        with torch.no_grad():
            pair.memory.centroids.copy_(means)
