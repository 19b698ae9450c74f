"""Mahalanobis distance to the nearest class mean."""

from __future__ import annotations

from torch import Tensor

from oltr.contracts import Known, Outputs
from oltr.scorers.scatter import Scatter, nearest_square, whitening
from oltr.scorers.training_images import unfitted


class Mahalanobis:
    """The squared Mahalanobis distance to the nearest class mean, one covariance for all, [B] (Lee et al., 2018).

    The covariance is that of the training features about their class means, divided by their number. Directions in
    which they do not vary are left out, as by the pseudo-inverse; so are classes without a training image. Where no
    class has two different images, every score is 0.
    """

    needs_train = True

    def __init__(self) -> None:
        self._classes: tuple[Tensor, Tensor, Tensor] | None = None

    def fit(self, known: Known) -> None:
        scatter = Scatter.of(known, "mahalanobis")
        whiten = whitening(scatter.within, scatter.noise)
        self._classes = scatter.mean, whiten, (scatter.means - scatter.mean) @ whiten

    def __call__(self, outputs: Outputs) -> Tensor:
        if self._classes is None:
            raise unfitted("mahalanobis")
        mean, whiten, means = self._classes
        return nearest_square((outputs.features.double() - mean) @ whiten, means)
