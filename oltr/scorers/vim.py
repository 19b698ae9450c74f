"""Virtual-logit matching."""

from __future__ import annotations

from torch import Tensor

from oltr.contracts import Known, Outputs
from oltr.scorers.subspace import Subspace, checked_dimensions
from oltr.scorers.training_images import training_images, unfitted


class VirtualLogit:
    """The residual, scaled to a logit, less the log-sum-exp of the logits, [B] (Wang et al., 2022).

    The scale is the mean largest logit of the training images over their mean residual, which is taken as no less
    than what single precision can tell from zero. A mean largest logit below 0, which would turn the score around,
    counts by its size.
    """

    needs_head = True
    needs_train = True

    def __init__(self, *, dimensions: int | None = None) -> None:
        self.dimensions = checked_dimensions("vim", dimensions)
        self._subspace: Subspace | None = None
        self._scale = 0.0

    def fit(self, known: Known) -> None:
        subspace = Subspace.of(known, "vim", self.dimensions)
        images, largest, residual = 0, 0.0, 0.0
        for outputs, _ in training_images(known, "vim"):
            largest += float(outputs.logits.amax(dim=1).double().sum())
            residual += float(subspace.residual(outputs.features).sum())
            images += len(outputs.logits)
        self._scale = abs(largest) / max(residual, images * subspace.noise)
        self._subspace = subspace

    def __call__(self, outputs: Outputs) -> Tensor:
        if self._subspace is None:
            raise unfitted("vim")
        return self._scale * self._subspace.residual(outputs.features) - outputs.logits.double().logsumexp(dim=1)
