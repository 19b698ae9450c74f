"""Rectified activations."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from oltr.contracts import Head, Known, Outputs, UserError
from oltr.scorers.head_energy import given_head, head_energy
from oltr.scorers.in_blocks import in_blocks
from oltr.scorers.percentile import checked_percentile
from oltr.scorers.precision import at_least_single


class ReAct:
    """The energy after activations are cut off at a percentile of those of the validation set, [B] (Sun et al., 2021).

    One cut for all dimensions and from above only: negative activations stay as they are.
    """

    needs_head = True
    needs_val = True

    def __init__(self, *, percentile: float = 90.0) -> None:
        self.percentile = checked_percentile(percentile, scorer="react")
        self.head: Head | None = None
        self.cut = float("inf")

    def fit(self, known: Known) -> None:
        self.head = given_head(known, scorer="react")
        blocks = [at_least_single(outputs.features).cpu().numpy().ravel() for outputs, _ in known.val()]
        activations = np.concatenate(blocks) if blocks else np.empty(0)
        if not activations.size:
            raise UserError("react is fitted on validation images, and there are none; ash works without")
        self.cut = float(np.percentile(activations, self.percentile, overwrite_input=True))

    def __call__(self, outputs: Outputs) -> Tensor:
        return in_blocks(self._score, outputs.features)

    def _score(self, features: Tensor) -> Tensor:
        return head_energy(self.head, at_least_single(features).clamp(max=self.cut), scorer="react")
