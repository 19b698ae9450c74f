"""Scores from stored predictions: what is left of each image is its class and one number a scorer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oltr.contracts import Known, Outputs, Scorer, UserError
from oltr.predictions import PARTS, Part, Predictions

log = logging.getLogger("oltr")

Scores = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One part of the store after the pass over it: what is left are a few numbers an image."""

    labels: NDArray[np.int64]  # [N]
    predictions: NDArray[np.int64]  # [N]
    scores: Mapping[str, Scores]  # [N] by scorer


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The parts of a store by name, all scored, and why some scorers could not be used."""

    parts: Mapping[str, Scored]
    skipped: Mapping[str, str]


def score(
    predictions: Predictions,
    scorers: Mapping[str, Scorer],
    parts: Sequence[str],
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Scoring:
    """Fit the scorers that want it, then one pass over each of ``parts`` that the store has, all scorers at once.

    A scorer that lacks something, fails or gives anything but one finite number an image is skipped with the reason;
    the others are not touched by it. ``options`` are those of scorers that ran with the network, by name.
    """
    present = {name: part for name in parts if (part := predictions.part(name)) is not None}
    skipped = lacking(predictions, scorers, options or {}, list(present.values()))
    for name, scorer in scorers.items():
        if name not in skipped and hasattr(scorer, "fit"):
            _attempt(name, partial(_fit, scorer, predictions), skipped)
    scored: dict[str, Scored] = {}
    for name, part in present.items():
        running = {key: scorer for key, scorer in scorers.items() if key not in skipped}
        scored[name] = _score_part(part, running, options or {}, skipped)
    usable = [name for name in scorers if name not in skipped]
    for name in skipped.keys() & scorers.keys():
        log.warning("scorer %s is left out: %s", name, skipped[name])
    kept = {
        name: Scored(labels=part.labels, predictions=part.predictions, scores={key: part.scores[key] for key in usable})
        for name, part in scored.items()
    }
    return Scoring(parts=kept, skipped={name: skipped[name] for name in scorers if name in skipped})


def lacking(
    predictions: Predictions,
    scorers: Mapping[str, Scorer],
    options: Mapping[str, Mapping[str, Any]],
    parts: Sequence[Part] | None = None,
) -> dict[str, str]:
    """The scorers that this store has not enough for, and what it lacks."""
    found: dict[str, str] = {}
    present = [predictions.part(name) for name in PARTS if name != "fit"] if parts is None else parts
    for name, scorer in scorers.items():
        if _is(scorer, "needs_network"):
            if any(part.network_scores(name, options.get(name, {})) is None for part in present if part):
                found[name] = "it runs the network, and did not with these options when the predictions were made"
        elif predictions.centroids is None and _is(scorer, "needs_centroids"):
            found[name] = "it needs class centroids, and the predictions were stored without any"
        elif predictions.head is None and _is(scorer, "needs_head"):
            found[name] = "it needs the weights of a linear last layer, and the predictions were stored without any"
        elif predictions.part("fit") is None and _is(scorer, "needs_train"):
            found[name] = "it is fitted on training images, and the predictions were stored without any"
        elif not len(predictions.part("val") or ()) and _is(scorer, "needs_val"):
            found[name] = "it is fitted on validation images, and the predictions were stored without any"
        elif predictions.feature_dim == 0 and _reads_features(scorer, predictions.num_classes):
            found[name] = "it needs features, and the predictions were stored without any"
    return found


def _score_part(
    part: Part, scorers: Mapping[str, Scorer], options: Mapping[str, Mapping[str, Any]], skipped: dict[str, str]
) -> Scored:
    """One pass over a part; who fails on the way is added to ``skipped``."""
    predictions: list[NDArray[Any]] = []
    scores: dict[str, list[Scores]] = {name: [np.empty(0, np.float32)] for name in scorers}
    for name, scorer in scorers.items():
        if _is(scorer, "needs_network"):
            scores[name].append(cast(Scores, part.network_scores(name, options.get(name, {}))))
    running = {name: scorer for name, scorer in scorers.items() if not _is(scorer, "needs_network")}
    for outputs, penultimate in _both(part, any(_is(scorer, "needs_head") for scorer in running.values())):
        predictions.append(outputs.logits.numpy().argmax(axis=1))  # of equal logits the first, as in the metrics
        for name, scorer in running.items():
            if name not in skipped:
                block = penultimate if _is(scorer, "needs_head") else outputs
                _attempt(name, partial(_append, scores[name], scorer, block, part.name), skipped)
    return Scored(
        labels=part.labels,
        predictions=np.concatenate([*predictions, np.empty(0, np.int64)]),
        scores={name: np.concatenate(blocks[1:] or blocks) for name, blocks in scores.items()},
    )


def _both(part: Part, penultimate: bool) -> Iterator[tuple[Outputs, Outputs]]:
    """Each block with the features, and with what the last layer acts on, if anyone wants that."""
    if penultimate:
        return zip(part.blocks(), part.blocks(penultimate=True), strict=True)
    return ((block, block) for block in part.blocks())


def _fit(scorer: Scorer, predictions: Predictions) -> None:
    """Let the scorer see the training and the validation images, and nothing of the test set."""
    inside = _is(scorer, "needs_head")

    def images(name: str) -> Callable[[], Iterator[tuple[Outputs, Tensor]]]:
        part = predictions.part(name)
        return lambda: iter(()) if part is None else part.labelled(penultimate=inside)

    centroids = None if predictions.centroids is None or inside else torch.from_numpy(predictions.centroids)
    known = Known(train=images("fit"), val=images("val"), centroids=centroids, head=predictions.head)
    with torch.no_grad():  # not inference_mode: a fit may want gradients of its own
        cast(Any, scorer).fit(known)


def _append(scores: list[Scores], scorer: Scorer, block: Outputs, part: str) -> None:
    """Score a block, one finite number an image."""
    with torch.inference_mode():
        values = scorer(block)
    if values.shape != (len(block.logits),) or not torch.isfinite(values).all():
        given = f"{tuple(values.shape)}, {int(torch.isfinite(values).sum())} of them finite"
        raise UserError(
            f"it must give one finite number an image; for {len(block.logits)} images of part {part} it gave {given}"
        )
    scores.append(values.cpu().numpy())


def _attempt(name: str, work: Callable[[], Any], skipped: dict[str, str]) -> None:
    """Do it; an error of the scorer's is kept as the reason why it is skipped, since the others can go on."""
    try:
        work()
    except UserError as error:
        skipped[name] = str(error)
    except MemoryError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        skipped[name] = f"it failed: {type(error).__name__}: {reason}"


def _is(scorer: Scorer, what: str) -> bool:
    return bool(getattr(scorer, what, False))


def _reads_features(scorer: Scorer, num_classes: int) -> bool:
    """Whether the scorer fails on an image whose features are not known; one that is fitted is asked before that."""
    if hasattr(scorer, "fit"):
        return not _is(scorer, "needs_val") or _is(scorer, "needs_head")
    unknown = Outputs(torch.full((1, 1), torch.nan), torch.zeros(1, num_classes))
    try:
        with torch.inference_mode():
            return not bool(torch.isfinite(scorer(unknown)).all())
    except Exception:  # whatever it does without features, it cannot do here
        return True
