"""Activation scaling."""

from __future__ import annotations

from torch import Tensor

from oltr.contracts import Head, Known, Outputs
from oltr.scorers.head_energy import given_head, head_energy
from oltr.scorers.in_blocks import in_blocks
from oltr.scorers.percentile import checked_percentile, largest, sharpness
from oltr.scorers.precision import at_least_single


class Scale:
    """The energy after all activations of an image are multiplied by one factor of its own, [B] (Xu et al., 2024).

    The factor is exp(sum of all / sum of those above the percentile); nothing is set to 0. As in activation shaping,
    size means magnitude where activations may be negative.
    """

    needs_head = True

    def __init__(self, *, percentile: float = 85.0) -> None:
        self.percentile = checked_percentile(percentile, scorer="scale")
        self.head: Head | None = None

    def fit(self, known: Known) -> None:
        self.head = given_head(known, scorer="scale")

    def __call__(self, outputs: Outputs) -> Tensor:
        return in_blocks(self._score, outputs.features)

    def _score(self, features: Tensor) -> Tensor:
        features = at_least_single(features)
        magnitudes = features.abs()
        above, _ = largest(magnitudes, self.percentile)
        factors = sharpness(magnitudes, above).exp().unsqueeze(1)
        return head_energy(self.head, features * factors, scorer="scale")
