"""The parts that a report is made by: scorers and threshold rules, as the config names them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oltr import plugins
from oltr.contracts import Scorer, Threshold, UserError
from oltr.stage_config import StageConfig


def scorers_of(config: StageConfig, num_classes: int, train_counts: NDArray[np.int64]) -> dict[str, Scorer]:
    """The config's scorers by name; they need no network."""
    return {
        scorer.name: plugins.SCORERS.build(
            scorer.name, scorer.options, num_classes=num_classes, train_counts=train_counts
        )
        for scorer in config.evaluation.scorers
    }


def thresholds_of(config: StageConfig) -> list[Threshold]:
    """The config's threshold rules; UserError where two of them have one label."""
    rules: list[Threshold] = [
        plugins.THRESHOLDS.build(threshold.name, threshold.options) for threshold in config.evaluation.thresholds
    ]
    labels = [rule.label for rule in rules]
    for label in labels:
        if labels.count(label) > 1:
            raise UserError(f"evaluation.thresholds: two rules are called {label!r}: reports tell them apart by that")
    return rules
