"""How the prediction store is filled: the network's passes over every set, and what of the network goes with them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from oltr.contracts import Head, NetworkScorer, Scorer
from oltr.data.split import ImageSet
from oltr.experiment import Experiment
from oltr.networks.class_means import class_means
from oltr.networks.pair import NetworkPair
from oltr.prediction_writer import PredictionWriter
from oltr.stage_config import StageConfig

log = logging.getLogger("oltr")

Passed = Callable[[str, ImageSet], Iterator[tuple[Tensor, Tensor]]]


def predict(experiment: Experiment, path: Path, facts: Mapping[str, Any], *, with_open: bool) -> None:
    """One forward pass over each set into the store; over the training images too where scorers are fitted on them."""
    splits, pair, scorers = experiment.splits, experiment.pair, experiment.scorers()
    head, apart = _head(experiment)
    parts: dict[str, ImageSet | None] = {"val": splits.val, "test": splits.test}
    if with_open:
        parts |= {"open_val": splits.open_val, "open": splits.open, "far": splits.far}
    with ExitStack() as stack:
        writer = None
        if experiment.processes.first:
            writer = stack.enter_context(
                PredictionWriter(
                    path,
                    num_classes=splits.num_classes,
                    feature_dim=experiment.feature_dim,
                    train_counts=splits.train_counts,
                    class_names=splits.class_names,
                    provenance=dict(facts),
                    head=head,
                    penultimate_dim=head.weight.shape[1] if head is not None and apart else 0,
                )
            )

        def passed(name: str, images: ImageSet) -> Iterator[tuple[Tensor, Tensor]]:
            """Features and labels of a set, on their way into the store."""
            for outputs, labels, indices in experiment.passes(images, name):
                if writer is not None:
                    ids = [images.ids[index] for index in indices.tolist()]
                    inner = _penultimate(pair, outputs.features) if apart else None
                    writer.add(name, outputs.features, outputs.logits, labels, ids, inner)
                yield outputs.features, labels

        centroids = _centroids(experiment, scorers, passed)
        if writer is not None and centroids is not None:
            writer.centroids(*centroids)
        for name, images in parts.items():
            if images is None:
                continue
            deque(passed(name, images), maxlen=0)
            for key, scorer in _run_by_network(scorers).items():
                scores = experiment.network_scores(images, scorer, f"{key} {name}")
                if writer is not None:
                    writer.network_scores(name, key, _options(experiment.config, key), scores)


def stores_train(stage: StageConfig, scorers: Mapping[str, Scorer]) -> bool:
    """Whether the store of this stage holds the training images."""
    wanted = stage.evaluation.train
    return any(getattr(scorer, "needs_train", False) for scorer in scorers.values()) if wanted is None else wanted


def _centroids(experiment: Experiment, scorers: Mapping[str, Scorer], passed: Passed) -> tuple[Tensor, str] | None:
    """What scorers measure distances to, and what that is; the training images are passed over once at most."""
    splits, memory = experiment.splits, experiment.pair.memory
    means = None
    if stores_train(experiment.config, scorers):
        means = class_means(passed("fit", splits.train), splits.num_classes)
    elif memory is None and any(getattr(scorer, "needs_centroids", False) for scorer in scorers.values()):
        means = experiment.class_means()
    if memory is not None:
        return memory.centroids.detach(), "memory"
    return None if means is None else (means, "class means")


def _head(experiment: Experiment) -> tuple[Head | None, bool]:
    """The classifier's last layer, if it tells one that gives its logits; and whether it acts on more than features."""
    pair = experiment.pair
    classifier: Any = pair.classifier
    if not hasattr(classifier, "head"):
        return None, False
    pair.eval()
    head: Head = classifier.head()
    generator = torch.Generator().manual_seed(0)
    probe = torch.rand(2, experiment.feature_dim, generator=generator).to(experiment.device)
    with torch.inference_mode():
        inner = _penultimate(pair, probe)
        logits = classifier(probe, None if pair.memory is None else pair.memory.centroids)
        same = torch.allclose(F.linear(inner, *head), logits, rtol=1e-3, atol=1e-3)
    if not same:
        log.warning(
            "classifier %s: its head does not give its logits: scorers that need it are left out",
            experiment.config.classifier.name,
        )
    return (head, inner is not probe) if same else (None, False)


def _penultimate(pair: NetworkPair, features: Tensor) -> Tensor:
    """What the last layer acts on; the features themselves where the classifier does not say."""
    classifier: Any = pair.classifier
    if not hasattr(classifier, "penultimate"):
        return features
    with torch.inference_mode():
        inner: Tensor = classifier.penultimate(features, None if pair.memory is None else pair.memory.centroids)
        return inner


def _run_by_network(scorers: Mapping[str, Scorer]) -> dict[str, NetworkScorer]:
    return {
        name: cast(NetworkScorer, scorer) for name, scorer in scorers.items() if getattr(scorer, "needs_network", False)
    }


def _options(stage: StageConfig, scorer: str) -> Mapping[str, Any]:
    """What the config says of a scorer."""
    return next(dict(part.options) for part in stage.evaluation.scorers if part.name == scorer)
