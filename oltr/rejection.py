"""Everything that a report says of one scorer: how it ranks, where images are rejected, and what its curves are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import OPEN, HeldOut, Threshold, UserError
from oltr.curves import curves, roc
from oltr.metrics.closed import group_confusion
from oltr.metrics.inputs import Groups, class_count
from oltr.metrics.open_set import at_threshold
from oltr.metrics.ranking import by_group, ranking
from oltr.metrics.thresholds import rejected
from oltr.scoring import Scored

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """The scored parts of a run, and the rules by which images are rejected as unknown."""

    parts: Mapping[str, Scored]
    """``test`` and ``open``; ``val``, ``far`` and ``open_val`` where there are any."""
    groups: Groups
    train_counts: NDArray[np.int64]
    thresholds: Sequence[Threshold]

    def entry(self, name: str, unset: dict[str, str]) -> dict[str, Any]:
        """The report's entry for scorer ``name``; rules that cannot be set are added to ``unset`` with the reason."""
        points = {}
        for threshold in self.thresholds:
            limit, fault = self._limit(threshold, name)
            if fault is not None:
                unset[threshold.label] = fault
            elif limit is not None:
                points[threshold.label] = {"rule": threshold.rule, **self._point(name, limit)}
        far = self.parts.get("far")
        return {
            **self._ranked(name, self.parts["open"]),
            "operating_points": points,
            "curves": self._curves(name),
            "far": None
            if far is None
            else {
                **self._ranked(name, far),
                "roc": roc(self.parts["test"].scores[name], far.scores[name]),
            },
        }

    def _limit(self, threshold: Threshold, name: str) -> tuple[float | NDArray[np.float64] | None, str | None]:
        """What the rule gives for a scorer, or why it gives nothing that images can be held against."""
        try:
            limit = threshold(self._held_out(name))
        except UserError as error:
            return None, str(error)
        except Exception as error:  # of a rule that is not ours; the others can go on
            return None, f"it failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        if limit is None:
            return None, None
        if np.shape(limit) not in ((), (class_count(self.groups),)) or not np.isfinite(limit).all():
            return None, f"it must give a finite number, or one for each class, not {np.asarray(limit)!s:.60}"
        return limit, None

    def _held_out(self, name: str) -> HeldOut:
        """What a rule may see: no image of the test set, and none of the open sets that it is tested on."""
        val, open_val = self.parts.get("val"), self.parts.get("open_val")
        nothing = np.empty(0, np.int64)
        return HeldOut(
            scorer=name,
            scores=np.empty(0) if val is None else val.scores[name],
            labels=nothing if val is None else val.labels,
            predictions=nothing if val is None else val.predictions,
            open_scores=None if open_val is None else open_val.scores[name],
            train_counts=self.train_counts,
            groups=self.groups,
        )

    def _ranked(self, name: str, unknown: Scored) -> dict[str, Any]:
        """Known test images, all and by group, against a set of unknown ones."""
        test = self.parts["test"]
        return {
            "ranking": ranking(test.scores[name], test.predictions == test.labels, unknown.scores[name]),
            "groups": by_group(test.scores[name], test.labels, unknown.scores[name], self.groups),
        }

    def _point(self, name: str, limit: float | NDArray[np.float64]) -> dict[str, Any]:
        """What is accepted and what is rejected at a threshold, or at one for each predicted class."""
        labels, predictions, scores = self._images(name)
        away = rejected(scores, limit, predictions)
        far = self.parts.get("far")
        single = np.ndim(limit) == 0
        return {
            "threshold": float(limit) if single else None,
            "class_thresholds": None if single else [float(value) for value in np.asarray(limit)],
            **at_threshold(predictions, labels, away, self.groups),
            "far_open_accuracy": None
            if far is None or not len(far.labels)
            else float(rejected(far.scores[name], limit, far.predictions).mean()),
            "confusion": group_confusion(labels, np.where(away, OPEN, predictions), self.groups),
        }

    def _curves(self, name: str) -> dict[str, Any]:
        labels, predictions, scores = self._images(name)
        images = {group: np.append(mask, False)[labels] for group, mask in self.groups.items()}
        known = labels != OPEN
        far = self.parts.get("far")
        return curves(
            predictions,
            labels,
            scores,
            num_classes=class_count(self.groups),
            known={"known": known, **images},
            far=None if far is None else far.scores[name],
        )

    def _images(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
        """Labels, predicted classes and scores of known test images and open ones together."""
        both = [self.parts[part] for part in ("test", "open")]
        return (
            np.concatenate([part.labels for part in both]),
            np.concatenate([part.predictions for part in both]),
            np.concatenate([part.scores[name] for part in both]),
        )
