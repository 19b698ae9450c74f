"""How close the second class comes to the first."""

from __future__ import annotations

from torch import Tensor

from oltr.contracts import Outputs


class RunnerUp:
    """The second largest logit less the largest, [B]: 0 where they are alike; 0 too where there is one class."""

    def __call__(self, outputs: Outputs) -> Tensor:
        largest = outputs.logits.topk(min(2, outputs.logits.shape[1]), dim=1).values
        return largest[:, -1] - largest[:, 0]
