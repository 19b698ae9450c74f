"""One pass over the stored predictions: what is left of each image is its class and one number a scorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from oltr.contracts import Outputs, Scorer, UserError
from oltr.predictions import Part, Predictions


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One part of the store after the pass over it: what is left are a few numbers an image."""

    labels: NDArray[np.int64]  # [N]
    predictions: NDArray[np.int64]  # [N]
    scores: Mapping[str, NDArray[np.floating[Any]]]  # [N] by scorer


def score_part(part: Part, scorers: Mapping[str, Scorer]) -> Scored:
    """One pass over a part, all scorers at once."""
    predictions: list[NDArray[Any]] = []
    scores: dict[str, list[NDArray[Any]]] = {name: [] for name in scorers}
    for block in part.blocks():
        predictions.append(block.logits.numpy().argmax(axis=1))  # of equal logits the first, as in the metrics
        for name, scorer in scorers.items():
            with torch.inference_mode():
                values = scorer(block)
            if values.shape != (len(block.logits),) or not torch.isfinite(values).all():
                given = f"{tuple(values.shape)}, {int(torch.isfinite(values).sum())} of them finite"
                raise UserError(
                    f"scorer {name} must give one finite number an image; for {len(block.logits)} images of part "
                    f"{part.name} it gave {given}"
                )
            scores[name].append(values.cpu().numpy())
    return Scored(
        labels=part.labels,
        predictions=np.concatenate([*predictions, np.empty(0, np.int64)]),
        scores={name: np.concatenate([*blocks, np.empty(0, np.float32)]) for name, blocks in scores.items()},
    )


def usable(scorers: Mapping[str, Scorer], predictions: Predictions) -> tuple[dict[str, Scorer], dict[str, Any]]:
    """The scorers that can run on this store, and why the others cannot."""
    lacking: dict[str, Any] = {}
    for name, scorer in scorers.items():
        if predictions.centroids is None and getattr(scorer, "needs_centroids", False):
            lacking[name] = {"skipped": "it needs class centroids, and the predictions were stored without any"}
        elif predictions.feature_dim == 0 and _reads_features(scorer, predictions.num_classes):
            lacking[name] = {"skipped": "it needs features, and the predictions were stored without any"}
    return {name: scorer for name, scorer in scorers.items() if name not in lacking}, lacking


def _reads_features(scorer: Scorer, num_classes: int) -> bool:
    """Whether the scorer fails on an image whose features are not known."""
    unknown = Outputs(torch.full((1, 1), torch.nan), torch.zeros(1, num_classes))
    try:
        with torch.inference_mode():
            return not bool(torch.isfinite(scorer(unknown)).all())
    except Exception:  # whatever it does without features, it cannot do here
        return True
