"""Distance to the k-th nearest training image."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from oltr.contracts import Known, Outputs, UserError
from oltr.scorers.in_blocks import in_blocks
from oltr.scorers.neighbours import Neighbours, closest
from oltr.scorers.training_images import unfitted


class NearestNeighbours:
    """The Euclidean distance to the k-th nearest training feature, all at unit length, [B] (Sun et al., 2022).

    From 0 to 2. With fewer than ``k`` training images it is that to the furthest of them. A zero feature stays zero.
    """

    needs_train = True

    def __init__(self, *, k: int = 50) -> None:
        if k < 1:
            raise UserError(f"knn: k must be at least 1, not {k}")
        self.k = k
        self._neighbours: Neighbours | None = None

    def fit(self, known: Known) -> None:
        self._neighbours = Neighbours.of(known, "knn")

    def __call__(self, outputs: Outputs) -> Tensor:
        if self._neighbours is None:
            raise unfitted("knn")
        return in_blocks(partial(self._score, self._neighbours), outputs.features)

    def _score(self, among: Neighbours, features: Tensor) -> Tensor:
        queries = among.queries(features)
        _, nearest = closest(queries, among.points, among.offsets, self.k)
        return among.distance(queries, nearest[:, -1])
