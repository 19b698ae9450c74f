"""How the published code starts a stage: from files at fixed places, and by the user's own loading."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from oltr.contracts import Start, UserError
from oltr.foreign.checkpoints import read_checkpoint, tell_left, whole_backbone
from oltr.foreign.forms import PLAIN, Foreign
from oltr.networks.pair import NetworkPair
from oltr.networks.weights import Matched, child_state, load_strict
from oltr.published.losses import initial_centroids
from oltr.published.user_file import made

NEW_CHILDREN = ("modulatedatt", "fc_add")
"""What a backbone may have beyond the weights that it starts from: each whole, or not at all."""

HEAD = {"fc.weight", "fc.bias"}

log = logging.getLogger("oltr")


class PublishedStage:
    """The start of a published config: weights of both networks from files, and a memory of class means or not.

    Those of a stage before, where ``init_from`` names one, stand in for the files: the backbone always, the head where
    there are ``classifier_weights``.
    ``caffe`` weights are a plain state dict, all others a stage's checkpoint. Where class means do not
    ``init_centroids``, the memory starts as ``feature_loss``, a user's own file, has it when it is called with these
    ``arguments``, or else from the normal distribution.
    """

    def __init__(
        self,
        *,
        backbone_weights: str | None = None,
        caffe: bool = False,
        classifier_weights: str | None = None,
        init_centroids: bool = True,
        feature_loss: str | None = None,
        arguments: Sequence[Any] = (),
    ) -> None:
        self.backbone_weights = None if backbone_weights is None else Path(backbone_weights)
        self.caffe = caffe
        self.classifier_weights = None if classifier_weights is None else Path(classifier_weights)
        self.init_centroids = init_centroids
        self.feature_loss, self.arguments = feature_loss, tuple(arguments)

    def prepare(self, pair: NetworkPair, start: Start) -> None:
        own_loading = ["backbone", "classifier"]
        if start.state is not None:
            self._take_over(pair, start, start.state)
            own_loading.remove("backbone")
        else:
            if self.backbone_weights is not None:
                self._load_backbone(pair, self.backbone_weights)
            if self.classifier_weights is not None:
                self._load_classifier(pair, self.classifier_weights)
        for name in own_loading:
            load = getattr(getattr(pair, name), "load_as_published", None)
            if load is not None:
                log.info("%s: its own file changed %d tensors as it loaded", name, load())
        if pair.memory is not None:
            centroids = start.class_means() if self.init_centroids else self._drawn(pair.memory.centroids)
            with torch.no_grad():
                pair.memory.centroids.copy_(centroids)

    def _take_over(self, pair: NetworkPair, start: Start, state: Mapping[str, Tensor]) -> None:
        source, left = start.source, ["classifier", "memory"]
        log.info("the backbone from %s: %s", source, _into_backbone(pair, child_state(state, "backbone"), source))
        if self.classifier_weights is not None:
            _into_classifier(pair, child_state(state, "classifier"), source)
            log.info("the classifier from %s: its head is taken over", source)
            left.remove("classifier")
        tell_left(state, source, *left)

    def _load_backbone(self, pair: NetworkPair, path: Path) -> None:
        foreign = _read(path)
        if (foreign.form == PLAIN) != self.caffe:
            wanted = "a plain state dict" if self.caffe else "a checkpoint of stage 1"
            raise UserError(f"{foreign.path}: a {foreign.form}, where {wanted} is wanted")
        state = whole_backbone(foreign) if self.caffe else foreign.backbone
        log.info("backbone: %s; %s", foreign, _into_backbone(pair, state, str(foreign.path)))

    def _load_classifier(self, pair: NetworkPair, path: Path) -> None:
        foreign = _read(path)
        _into_classifier(pair, foreign.classifier or {}, str(foreign.path))
        log.info("classifier: %s; its head is taken over", foreign)

    def _drawn(self, like: Tensor) -> Tensor:
        if self.feature_loss is None:
            return torch.randn(like.shape)
        return initial_centroids(made(self.feature_loss, "create_loss", self.arguments), self.feature_loss).detach()


def _read(path: Path) -> Foreign:
    """The checkpoint, or the best weights of a run of ours in the folder where the checkpoint would lie."""
    ours = path.with_name("best.pt")
    if not path.is_file() and not ours.is_file():
        raise UserError(
            f"there is no {path}: first run the config whose log_dir is {path.parent}, or put the file there"
        )
    return read_checkpoint(path if path.is_file() else ours)


def _into_backbone(pair: NetworkPair, state: Mapping[str, Tensor], source: str) -> Matched:
    """Load the backbone strictly, but for children that it has beyond the one before and a head that goes unused."""
    children = {name for name, _ in pair.backbone.named_children()}
    new = [child for child in NEW_CHILDREN if child in children and not _has(state, child)]
    return load_strict(pair.backbone, state, source, new=new, unused=("fc",), hint=False)


def _into_classifier(pair: NetworkPair, head: Mapping[str, Tensor], source: str) -> None:
    """Put the linear head of the stage before where the classifier takes one."""
    if head.keys() != HEAD:
        raise UserError(f"{source}: no linear classifier, which stage 1 has: {', '.join(head) or 'none'}")
    inherit = getattr(pair.classifier, "inherit", None)
    if inherit is None:
        raise UserError(f"the classifier {type(pair.classifier).__name__} has no inherit(state)")
    inherit(dict(head))


def _has(state: Mapping[str, Tensor], child: str) -> bool:
    return any(key.startswith(f"{child}.") for key in state)
