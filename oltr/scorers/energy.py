"""Free energy."""

from __future__ import annotations

import math

from torch import Tensor

from oltr.contracts import Outputs, UserError
from oltr.scorers.precision import at_least_single


class Energy:
    """The free energy -T log sum exp(logit / T), [B]: the maximum logit as T falls to 0 (Liu et al., 2020)."""

    def __init__(self, *, temperature: float = 1.0) -> None:
        if not (temperature > 0 and math.isfinite(temperature)):
            raise UserError(f"energy: the temperature must be above 0 and finite, not {temperature:g}")
        self.temperature = temperature

    def __call__(self, outputs: Outputs) -> Tensor:
        logits = at_least_single(outputs.logits)
        largest = logits.amax(dim=1, keepdim=True)
        above = ((logits - largest) / self.temperature).logsumexp(dim=1)  # 0 to log C, at any temperature
        return -(largest.squeeze(1) + self.temperature * above)
