"""A threshold for each class, drawn towards a common one where there is little to set it on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import HeldOut, UserError
from oltr.thresholds.quantiles import accepting, check_rate, known_scores, scores_by_class


class PerClass:
    """For each class a score between the ``rate`` quantile of the images predicted as it and that of all images, [C].

    Of n known validation images that are predicted as a class, its own quantile has the weight n / (n + ``strength``),
    the common one the rest. With ``strength`` 0 it is the class's own; a class as which nothing is predicted has the
    common one.
    """

    def __init__(self, *, rate: float = 0.95, strength: float = 20.0) -> None:
        check_rate("per_class", rate)
        if not 0 <= strength < float("inf"):
            raise UserError(f"threshold per_class: strength is at least 0 and finite, not {strength:g}")
        self.rate, self.strength = rate, strength
        self.label = f"per_class_{rate:g}" + (f"_strength_{strength:g}" if strength != 20 else "")
        self.rule = (
            f"{rate * 100:.4g} % of the known validation images predicted as each class accepted, shrunk to the common "
            f"threshold with the weight of {strength:g} images"
        )

    def __call__(self, held_out: HeldOut) -> NDArray[np.float64]:
        together = accepting(known_scores("per_class", held_out), self.rate)
        classes = scores_by_class("per_class", held_out)
        return np.array(
            [self._between(accepting(own, self.rate), together, len(own)) if len(own) else together for own in classes]
        )

    def _between(self, own: float, together: float, images: int) -> float:
        weight = images / (images + self.strength)
        mixed = weight * own + (1 - weight) * together
        return min(max(mixed, min(own, together)), max(own, together))  # rounding may leave the span
