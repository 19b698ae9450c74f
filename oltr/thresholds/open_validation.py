"""The threshold that parts known and open validation images best."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import HeldOut, UserError
from oltr.thresholds.quantiles import Scores, known_scores

CRITERIA = {"balanced_accuracy": "balanced accuracy", "f_micro": "micro F-measure"}


class OpenValidation:
    """The threshold with the best value of a criterion over known validation images and the open validation set.

    ``balanced_accuracy`` is the mean of known images accepted and open ones rejected; ``f_micro`` the micro F-measure,
    where an accepted image that is open or of another class is a false positive, and a known one that is not accepted
    and right a false negative: it depends on how many open images there are. The threshold lies midway between two
    scores; of equally good ones it is that which accepts the most images.
    """

    def __init__(self, *, criterion: Literal["balanced_accuracy", "f_micro"] = "balanced_accuracy") -> None:
        if criterion not in CRITERIA:
            raise UserError(f"threshold open_validation: criterion must be {' or '.join(CRITERIA)}, not {criterion!r}")
        self.criterion = criterion
        self.label = f"open_validation_{criterion}"
        self.rule = f"the best {CRITERIA[criterion]} between known and open validation images"

    def __call__(self, held_out: HeldOut) -> float:
        unknown = held_out.open_scores
        if unknown is None or not len(unknown):
            raise UserError(
                "threshold open_validation needs an open validation set, and the data set has none; "
                "known_acceptance needs known validation images only"
            )
        known = known_scores("open_validation", held_out)
        values = np.unique(np.concatenate([known, unknown]))
        known_in, open_in = _accepted(known, values), _accepted(unknown, values)
        if self.criterion == "balanced_accuracy":
            worth: NDArray[Any] = known_in * len(unknown) - open_in * len(known)  # whole numbers: equal ones are equal
        else:
            right = _accepted(known[held_out.predictions == held_out.labels], values)
            worth = 2 * right / (known_in + open_in + len(known))
        best = len(worth) - 1 - int(np.argmax(worth[::-1]))
        return _at_or_above(values, best)


def _accepted(scores: Scores, values: Scores) -> NDArray[np.int64]:
    """How many scores are accepted at each of ``values``, [T]. To accept none is never better than to accept all."""
    return np.searchsorted(np.sort(scores), values, side="right").astype(np.int64)


def _at_or_above(values: Scores, last: int) -> float:
    """A threshold at which this is the last of the rising ``values`` that is accepted."""
    low = values[last]
    if last == len(values) - 1:
        return float(low)
    high = values[last + 1]
    middle = low / 2 + high / 2
    return float(middle if low <= middle < high else low)  # neighbouring numbers have none between them
