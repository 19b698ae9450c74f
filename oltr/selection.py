"""Whether anything of a run was chosen by looking at the test set: then its numbers are no estimate of anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from oltr.predictions import Part, Predictions

ALIKE = 1e-3
"""Relative difference of logits up to which two images of one name count as the same one."""


def selected_on_test(predictions: Predictions, told: Mapping[str, Any]) -> dict[str, Any]:
    """``test_selected``, and the reasons in ``test_selected_because``.

    What the run or the one that it starts from says of itself, and what the stored images give away: epochs, thresholds
    and fits are chosen on the validation sets, so an image of these that is in a test set as well has chosen for it.
    """
    because = list(told.get("test_selected_because") or [])
    if told.get("test_selected") and not because:
        because.append("the config says that something in it was chosen on the test set")
    for chooser, tested, what in (
        ("val", "test", "validation images are test images"),
        ("fit", "test", "training images are test images"),
        ("open_val", "open", "images of the open validation set are in the open test set"),
        ("open_val", "far", "images of the open validation set are in the far open set"),
    ):
        shared = _shared(predictions.part(chooser), predictions.part(tested))
        if shared:
            because.append(f"{shared:,} {what}")
    because = list(dict.fromkeys(because))
    return {"test_selected": bool(because), "test_selected_because": because}


def _shared(first: Part | None, second: Part | None) -> int:
    """How many images two parts share: those of the same name that the network says the same of."""
    if first is None or second is None:
        return 0
    _, here, there = np.intersect1d(np.array(first.ids), np.array(second.ids), return_indices=True)
    if not len(here):
        return 0
    one, other = first.logits[here], second.logits[there]
    scale = np.maximum(np.abs(one), np.abs(other)).max(axis=1)
    return int(np.count_nonzero(np.abs(one - other).max(axis=1) <= ALIKE * np.maximum(scale, 1e-12)))
