"""Distance to the k-th nearest training image of a class, as far as a class has k."""

from __future__ import annotations

import torch
from torch import Tensor

from oltr.contracts import Known, Outputs, UserError
from oltr.scorers.in_blocks import ROWS
from oltr.scorers.neighbours import COLUMNS, Neighbours, closeness
from oltr.scorers.training_images import unfitted


class CountAwareNeighbours:
    """The least over the classes of the distance to the class's k-th nearest training feature, at unit length, [B].

    A class of n images stands in with its min(k, n)-th nearest, so none is too small to be near to: in plain knn,
    whose neighbours are of any class, an image of a class with fewer than k images never has k of its own. Classes
    without a training image are left out.
    """

    needs_train = True

    def __init__(self, *, k: int = 5) -> None:
        if k < 1:
            raise UserError(f"count_aware_knn: k must be at least 1, not {k}")
        self.k = k
        self._neighbours: Neighbours | None = None
        self._runs: list[list[int]] = []

    def fit(self, known: Known) -> None:
        self._neighbours = Neighbours.of(known, "count_aware_knn")
        self._runs = _whole_classes([int(count) for count in self._neighbours.counts if count])

    def __call__(self, outputs: Outputs) -> Tensor:
        if self._neighbours is None:
            raise unfitted("count_aware_knn")
        rows = min(ROWS, max(1, ROWS * COLUMNS // max(map(sum, self._runs))))
        found = []
        for block in torch.split(outputs.features, rows):
            queries = self._neighbours.queries(block)
            found.append(self._neighbours.distance(queries, self._nearest(queries, self._neighbours)))
        return torch.cat(found)

    def _nearest(self, queries: Tensor, among: Neighbours) -> Tensor:
        """The point of each query [B, D] that its score is the distance to, int64 [B]."""
        best = queries.new_full((len(queries),), -torch.inf)
        nearest = torch.zeros(len(queries), dtype=torch.int64)
        start = 0
        for counts in self._runs:
            part = slice(start, start + sum(counts))
            found = closeness(queries, among.points[part], among.offsets[part])
            for own in torch.split(found, counts, dim=1):
                self._take_better(own, start, best, nearest)
                start += own.shape[1]
        return nearest

    def _take_better(self, found: Tensor, start: int, best: Tensor, nearest: Tensor) -> None:
        """Put the k-th closeness to a class, of ``found`` [B, n], and whose it is, where ``best`` [B] is less.

        Most queries have a class already whose k-th image is nearer than the nearest of this one: they need no order.
        """
        rows = torch.nonzero(found.amax(dim=1) > best).squeeze(1)
        kth = found[rows].topk(min(self.k, found.shape[1]), dim=1)
        better = kth.values[:, -1] > best[rows]
        best[rows[better]] = kth.values[better, -1]
        nearest[rows[better]] = kth.indices[better, -1] + start


def _whole_classes(counts: list[int]) -> list[list[int]]:
    """Class counts in runs that are compared together: each of about COLUMNS images, or of one larger class."""
    runs: list[list[int]] = [[]]
    for count in counts:
        if runs[-1] and sum(runs[-1]) + count > COLUMNS:
            runs.append([])
        runs[-1].append(count)
    return runs
