"""What of a feature lies outside the principal subspace of the training features."""

from __future__ import annotations

from torch import Tensor

from oltr.contracts import Known, Outputs
from oltr.scorers.subspace import Subspace, checked_dimensions
from oltr.scorers.training_images import unfitted


class Residual:
    """The length of a feature's part outside the principal subspace that vim has, [B] (Wang et al., 2022)."""

    needs_head = True
    needs_train = True

    def __init__(self, *, dimensions: int | None = None) -> None:
        self.dimensions = checked_dimensions("residual", dimensions)
        self._subspace: Subspace | None = None

    def fit(self, known: Known) -> None:
        self._subspace = Subspace.of(known, "residual", self.dimensions)

    def __call__(self, outputs: Outputs) -> Tensor:
        if self._subspace is None:
            raise unfitted("residual")
        return self._subspace.residual(outputs.features)
