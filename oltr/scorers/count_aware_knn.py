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
            value, index = self._best_class(closeness(queries, among.points[part], among.offsets[part]), counts)
            nearest = torch.where(value > best, index + start, nearest)
            best = torch.maximum(best, value)
            start = part.stop
        return nearest

    def _best_class(self, found: Tensor, counts: list[int]) -> tuple[Tensor, Tensor]:
        """Of the classes of a run [B, M] the largest k-th closeness, [B], and which point's it is, [B]."""
        parts = torch.split(found, counts, dim=1)
        kth = [part.topk(min(self.k, count), dim=1) for part, count in zip(parts, counts, strict=True)]
        values, which = torch.stack([each.values[:, -1] for each in kth], dim=1).max(dim=1)
        starts = torch.tensor(counts).cumsum(0) - torch.tensor(counts)
        indices = torch.stack([each.indices[:, -1] for each in kth], dim=1) + starts
        return values, indices.gather(1, which.unsqueeze(1)).squeeze(1)


def _whole_classes(counts: list[int]) -> list[list[int]]:
    """Class counts in runs that are compared together: each of about COLUMNS images, or of one larger class."""
    runs: list[list[int]] = [[]]
    for count in counts:
        if runs[-1] and sum(runs[-1]) + count > COLUMNS:
            runs.append([])
        runs[-1].append(count)
    return runs
