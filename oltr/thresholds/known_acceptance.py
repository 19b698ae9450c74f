"""A threshold at which a share of the known validation images is accepted."""

from __future__ import annotations

from oltr.contracts import HeldOut
from oltr.thresholds.quantiles import accepting, check_rate, known_scores


class KnownAcceptance:
    """The lowest score at which at least ``rate`` of the known validation images are accepted."""

    def __init__(self, *, rate: float = 0.95) -> None:
        check_rate("known_acceptance", rate)
        self.rate = rate
        self.label = f"known_acceptance_{rate:g}"
        self.rule = f"{rate * 100:.4g} % of the known validation images accepted"

    def __call__(self, held_out: HeldOut) -> float:
        return accepting(known_scores("known_acceptance", held_out), self.rate)
