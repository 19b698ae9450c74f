"""Training features to look for neighbours among, without a matrix of images x training images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from oltr.contracts import Known
from oltr.scorers.precision import at_least_single
from oltr.scorers.training_images import training_images

COLUMNS = 4096
"""How many training images a block of images is compared with at a time: 64 MiB of closenesses."""


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """All training features at unit length, class by class: N x D numbers, held once.

    They are moved by their mean: distances stay, and short vectors lose fewer digits in a product.
    """

    points: Tensor  # [N, D]
    offsets: Tensor  # [N], half the squared length of each
    centre: Tensor  # [D]
    counts: Tensor  # [C], images of each class

    @classmethod
    def of(cls, known: Known, scorer: str) -> Neighbours:
        """Two passes over ``known``'s training images: one counts, one fills."""
        counts, first = torch.zeros(0, dtype=torch.int64), None
        for outputs, labels in training_images(known, scorer):
            first = outputs if first is None else first
            found = torch.bincount(labels, minlength=outputs.logits.shape[1])
            counts = found if not len(counts) else counts + found
        assert first is not None  # of no images training_images has said so
        points = at_least_single(first.features).new_empty(int(counts.sum()), first.features.shape[1])
        following = counts.cumsum(0) - counts  # where the next image of each class goes
        for outputs, labels in training_images(known, scorer):
            order = labels.argsort(stable=True)
            found = torch.bincount(labels, minlength=len(counts))
            rank = torch.arange(len(labels)) - (found.cumsum(0) - found)[labels[order]]
            points[following[labels[order]] + rank] = unit(outputs.features[order])
            following += found
        centre = points.mean(dim=0)
        points -= centre
        return cls(
            points=points, offsets=torch.linalg.vector_norm(points, dim=1).square() / 2, centre=centre, counts=counts
        )

    def queries(self, features: Tensor) -> Tensor:
        """Features [B, D] as they are compared with the points."""
        return unit(features).to(self.points.dtype) - self.centre

    def distance(self, queries: Tensor, nearest: Tensor) -> Tensor:
        """The distance of each query [B, D] to the point of the given index [B], taken directly, [B]."""
        distances: Tensor = torch.linalg.vector_norm(queries - self.points[nearest], dim=1)
        return distances


def unit(features: Tensor) -> Tensor:
    """Features [B, D] at unit length; zero stays zero."""
    return F.normalize(at_least_single(features), dim=1)


def closeness(queries: Tensor, points: Tensor, offsets: Tensor) -> Tensor:
    """``queries @ points.T - offsets``, [B, M]: with half the squared lengths, the larger the nearer."""
    return torch.addmm(offsets, queries, points.T, beta=-1)


def closest(queries: Tensor, points: Tensor, offsets: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` largest closenesses of each query, or all, and whose they are: [B, count], largest first."""
    values, indices = queries.new_empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.int64)
    for start in range(0, len(points), COLUMNS):
        part = slice(start, start + COLUMNS)
        found = closeness(queries, points[part], offsets[part])
        largest = found.topk(min(count, found.shape[1]), dim=1)
        both = torch.cat([values, largest.values], dim=1)
        whose = torch.cat([indices, largest.indices + start], dim=1)
        values, kept = both.topk(min(count, both.shape[1]), dim=1)
        indices = whose.gather(1, kept)
    return values, indices
