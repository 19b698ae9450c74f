"""Distance to the decision boundaries."""

from __future__ import annotations

import torch
from torch import Tensor

from oltr.contracts import Known, Outputs
from oltr.scorers.training_images import last_layer, predicted, unfitted
from oltr.scorers.training_mean import TrainingMean


class BoundaryDistance:
    """The mean distance to the decision boundaries over that to the mean training feature, negated, [B].

    The boundaries are those between the predicted class and each other one, at the distance
    ``(logit - other logit) / |weight - other weight|`` (Liu and Qin, 2024). Two classes of equal weights have none;
    where the predicted class has none at all, as with a single class, the score is 0.
    """

    needs_head = True
    needs_train = True

    def __init__(self) -> None:
        self._centre: TrainingMean | None = None
        self._steepness = torch.zeros(0, 0)

    def fit(self, known: Known) -> None:
        weight, _ = last_layer(known, "fdbd")
        apart = torch.cdist(weight, weight, compute_mode="donot_use_mm_for_euclid_dist")  # [C, C]
        equal = apart <= torch.finfo(torch.float32).eps * torch.linalg.vector_norm(weight, dim=1).amax()
        inverse = torch.where(equal, 0, 1 / apart)
        self._steepness = inverse / (~equal).sum(dim=1, keepdim=True).clamp(min=1)
        self._centre = TrainingMean.of(known, "fdbd")

    def __call__(self, outputs: Outputs) -> Tensor:
        if self._centre is None:
            raise unfitted("fdbd")
        logits, winner = outputs.logits.double(), predicted(outputs)
        below = logits.gather(1, winner.unsqueeze(1)) - logits
        boundaries = (below * self._steepness[winner]).sum(dim=1)
        _, lengths = self._centre.deviations(outputs.features)
        return -boundaries / lengths
