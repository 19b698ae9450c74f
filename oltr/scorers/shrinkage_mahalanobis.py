"""Gaussian class densities whose spread is estimated as far as a class has images, and shared beyond that."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from oltr.contracts import Known, Outputs, UserError
from oltr.scorers.scatter import BLOCK, Scatter, whitening
from oltr.scorers.training_images import training_images, unfitted


class ShrinkageMahalanobis:
    """Minus twice the largest log-density of a class, up to a constant, each class with a covariance of its own, [B].

    In the coordinates in which the shared covariance is the identity, class k, of ``n`` training images with the sum
    of squared deviations ``s``, has along each axis the variance ``v = (s + tau) / (n - 1 + tau)``: that of one image
    is the shared one, that of many their own. ``tau`` is how many images the shared covariance counts for. Its mean is
    known from n images only, so a new image of it is spread by ``u = (1 + 1 / n) v``, and the score is the least over
    the classes of ``sum (z - m)^2 / u + log u``; without ``log_determinant`` the least of ``sum (z - m)^2 / u``.

    The shared covariance is the pooled one, divided by the images less the classes that have any; directions in which
    it is zero are left out. It needs memory for 2 C D numbers, however many the images are.
    """

    needs_train = True

    def __init__(self, *, tau: float = 10.0, log_determinant: bool = True) -> None:
        if not (tau > 0 and math.isfinite(tau)):
            raise UserError(f"shrinkage_mahalanobis: tau must be above 0 and finite, not {tau:g}")
        self.tau = tau
        self.log_determinant = log_determinant
        self._space: tuple[Tensor, Tensor] | None = None
        self._densities: tuple[Tensor, Tensor, Tensor] | None = None

    def fit(self, known: Known) -> None:
        scatter = Scatter.of(known, "shrinkage_mahalanobis")
        images, counts = scatter.counts.sum(), scatter.counts.unsqueeze(1)
        pooled = scatter.within * (images / (images - len(counts)).clamp(min=1))
        whiten = whitening(pooled, scatter.noise)
        means = (scatter.means - scatter.mean) @ whiten  # [K, R]
        squares = torch.zeros_like(means)
        for outputs, labels in training_images(known, "shrinkage_mahalanobis"):
            points = (outputs.features.double() - scatter.mean) @ whiten
            rows = torch.searchsorted(scatter.classes, labels)
            squares.index_add_(0, rows, (points - means[rows]).square())
        spread = (1 + 1 / counts) * (squares + self.tau) / (counts - 1 + self.tau)
        constant = (means.square() / spread).sum(dim=1)
        if self.log_determinant:
            constant += spread.log().sum(dim=1)
        self._space = scatter.mean, whiten
        self._densities = 1 / spread, means / spread, constant

    def __call__(self, outputs: Outputs) -> Tensor:
        if self._space is None or self._densities is None:
            raise unfitted("shrinkage_mahalanobis")
        (mean, whiten), (precision, pull, constant) = self._space, self._densities
        points = (outputs.features.double() - mean) @ whiten
        found = []
        for block in torch.split(points, max(1, BLOCK // len(constant))):
            squares = torch.addmm(constant, block.square(), precision.T)
            found.append(squares.addmm_(block, pull.T, alpha=-2).amin(dim=1))
        return torch.cat(found)
