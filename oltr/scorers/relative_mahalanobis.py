"""Mahalanobis distance to the nearest class mean, relative to that of all images together."""

from __future__ import annotations

from torch import Tensor

from oltr.contracts import Known, Outputs
from oltr.scorers.scatter import Scatter, nearest_square, whitening
from oltr.scorers.training_images import unfitted


class RelativeMahalanobis:
    """The Mahalanobis score minus the squared Mahalanobis distance to the mean of all images, [B] (Ren et al., 2021).

    Both covariances, about the class means and about the overall mean, are divided by the number of training images;
    each is inverted on the directions in which it is not zero.
    """

    needs_train = True

    def __init__(self) -> None:
        self._classes: tuple[Tensor, Tensor, Tensor] | None = None
        self._background: Tensor | None = None

    def fit(self, known: Known) -> None:
        scatter = Scatter.of(known, "relative_mahalanobis")
        whiten = whitening(scatter.within, scatter.noise)
        self._classes = scatter.mean, whiten, (scatter.means - scatter.mean) @ whiten
        self._background = whitening(scatter.total, scatter.noise)

    def __call__(self, outputs: Outputs) -> Tensor:
        if self._classes is None or self._background is None:
            raise unfitted("relative_mahalanobis")
        mean, whiten, means = self._classes
        deviations = outputs.features.double() - mean
        return nearest_square(deviations @ whiten, means) - (deviations @ self._background).square().sum(dim=1)
