"""A threshold for each shot group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import HeldOut, UserError
from oltr.thresholds.quantiles import accepting, check_rate, known_scores, scores_by_group, spread


class PerGroup:
    """For each shot group the lowest score at which ``rate`` of the known validation images predicted in it pass, [C].

    A group to which fewer than ``fewest`` images are predicted has the threshold of all images together.
    """

    def __init__(self, *, rate: float = 0.95, fewest: int = 20) -> None:
        check_rate("per_group", rate)
        if fewest < 1:
            raise UserError(f"threshold per_group: fewest is at least 1, not {fewest}")
        self.rate, self.fewest = rate, fewest
        self.label = f"per_group_{rate:g}" + (f"_fewest_{fewest}" if fewest != 20 else "")
        self.rule = f"{rate * 100:.4g} % of the known validation images predicted in each shot group accepted"

    def __call__(self, held_out: HeldOut) -> NDArray[np.float64]:
        together = accepting(known_scores("per_group", held_out), self.rate)
        groups = scores_by_group("per_group", held_out)
        return spread(
            {
                name: accepting(scores, self.rate) if len(scores) >= self.fewest else together
                for name, scores in groups.items()
            },
            held_out,
        )
