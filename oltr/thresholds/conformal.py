"""A threshold that bounds how often a known image is rejected."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import HeldOut, UserError
from oltr.thresholds.quantiles import (
    Scores,
    known_scores,
    least_count,
    scores_by_class,
    scores_by_group,
    smallest,
    spread,
)


class Conformal:
    """The score above which the conformal p-value of being known is at most ``alpha`` (Vovk et al., 2005).

    A known image drawn as the n validation images were is rejected with a probability of at most ``alpha``: the
    threshold is their ceil((n + 1)(1 - alpha))-th smallest score. Where n is below 1 / alpha - 1 there is none, and all
    is accepted. With ``by`` the bound holds within each predicted class, or shot group of it, by itself, [C] (Mondrian;
    Vovk, 2012); a class as which few images are predicted then rejects nothing.
    """

    def __init__(self, *, alpha: float = 0.05, by: Literal["class", "group"] | None = None) -> None:
        if not 0 < alpha < 1:
            raise UserError(f"threshold conformal: alpha must be above 0 and below 1, not {alpha:g}")
        if by not in (None, "class", "group"):
            raise UserError(f"threshold conformal: by must be class, group or null, not {by!r}")
        self.alpha, self.by = alpha, by
        self.label = f"conformal_{alpha:g}" + (f"_by_{by}" if by else "")
        within = f", within each predicted {'shot group' if by == 'group' else by}" if by else ""
        self.rule = f"at most {alpha * 100:.4g} % of known images rejected, by conformal p-value{within}"

    def __call__(self, held_out: HeldOut) -> float | NDArray[np.float64]:
        if self.by == "class":
            return np.array([self._threshold(own) for own in scores_by_class("conformal", held_out)])
        if self.by == "group":
            groups = scores_by_group("conformal", held_out)
            return spread({name: self._threshold(own) for name, own in groups.items()}, held_out)
        return self._threshold(known_scores("conformal", held_out))

    def _threshold(self, scores: Scores) -> float:
        rank = least_count(1 - Fraction(str(self.alpha)), len(scores) + 1)
        if rank > len(scores):
            return float(np.finfo(scores.dtype).max)  # accepts all, and unlike infinity can be written down as JSON
        return smallest(scores, rank)
