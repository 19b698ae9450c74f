"""How training features lie about their class means, and the coordinates in which that spread is the unit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from oltr.contracts import Known
from oltr.scorers.training_images import rounding, training_images

BLOCK = 1 << 22
"""How many distances are held at a time: 32 MiB."""
CUTOFF = 1e-10
"""The least variance that counts, as a share of the largest."""


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Means and covariances of the training features, in double precision; classes without an image are left out."""

    classes: Tensor  # [K], those with an image
    counts: Tensor  # [K]
    means: Tensor  # [K, D]
    mean: Tensor  # [D], of all images
    within: Tensor  # [D, D], about the class means, divided by the number of images
    noise: float
    """The length below which single precision cannot tell features apart."""

    @property
    def total(self) -> Tensor:
        """The covariance about the overall mean, [D, D], divided by the number of images."""
        between = self.means - self.mean
        shares = self.counts / self.counts.sum()
        return self.within + (between.T * shares) @ between

    @classmethod
    def of(cls, known: Known, scorer: str) -> Scatter:
        """Two passes over ``known``'s training images: the class means, then the deviations from them."""
        sums, counts, squares = torch.zeros(0, 0), torch.zeros(0), 0.0
        for outputs, labels in training_images(known, scorer):
            features = outputs.features.double()
            if not len(counts):
                sums = features.new_zeros(outputs.logits.shape[1], features.shape[1])
                counts = features.new_zeros(len(sums))
            sums.index_add_(0, labels, features)
            counts += torch.bincount(labels, minlength=len(counts))
            squares += float(features.square().sum())
        means = sums / counts.clamp(min=1).unsqueeze(1)
        within = sums.new_zeros(sums.shape[1], sums.shape[1])
        for outputs, labels in training_images(known, scorer):
            deviations = outputs.features.double() - means[labels]
            within.addmm_(deviations.T, deviations)
        classes, images = counts.nonzero().squeeze(1), counts.sum()
        return cls(
            classes=classes,
            counts=counts[classes],
            means=means[classes],
            mean=sums.sum(dim=0) / images,
            within=within / images,
            noise=rounding(squares / float(images)),
        )


def principal_axes(covariance: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Variances, largest first, [R], and axes, [D, R], of a covariance [D, D], without those that are rounding.

    An axis is left out if its variance is at most CUTOFF of the largest, or the square of ``noise``.
    """
    variances, axes = torch.linalg.eigh(covariance)
    kept = variances > max(CUTOFF * float(variances[-1]), noise**2)
    return variances[kept].flip(0), axes[:, kept].flip(1)


def whitening(covariance: Tensor, noise: float) -> Tensor:
    """The map [D, R] after which ``covariance`` is the identity: times its transpose it is the pseudo-inverse."""
    variances, axes = principal_axes(covariance, noise)
    return axes / variances.sqrt()


def nearest_square(points: Tensor, targets: Tensor) -> Tensor:
    """The squared distance of each point [B, R] to the nearest of the targets [K, R], [B].

    The nearest one is found by matrix product; the distance to it is then taken directly.
    """
    found = []
    for block in torch.split(points, max(1, BLOCK // len(targets))):
        nearest = torch.addmm(targets.square().sum(dim=1) / 2, block, targets.T, alpha=-1).argmin(dim=1)
        found.append((block - targets[nearest]).square().sum(dim=1))
    return torch.cat(found)
