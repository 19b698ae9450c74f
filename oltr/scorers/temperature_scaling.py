"""Maximum softmax probability at the temperature that suits the validation set."""

from __future__ import annotations

import math

from torch import Tensor

from oltr.contracts import Known, Outputs, UserError
from oltr.scorers.in_blocks import in_blocks
from oltr.scorers.msp import MaximumSoftmax
from oltr.scorers.precision import at_least_single

COLDEST, HOTTEST = 0.01, 1000.0
"""Where the search ends: validation images that are all classified rightly would have a temperature of 0."""
NEWTON_STEPS, STEPS = 12, 60
PRECISION = 1e-6


class TemperatureScaling:
    """The largest class probability of the logits divided by a temperature, negated, [B] (Guo et al., 2017).

    The temperature is that of the least mean -log p of the validation images' labels, from 0.01 to 1,000; it stays 1
    where none is better than another, as with one class.
    """

    needs_val = True

    def __init__(self) -> None:
        self.temperature = math.nan

    def fit(self, known: Known) -> None:
        """Newton's method on the slope by 1 / temperature, in which -log p is convex; halving where it would leave."""
        low, high, inverse = 1 / HOTTEST, 1 / COLDEST, 1.0
        for count in range(STEPS):
            slope, curvature = _slope(known, inverse)
            if slope == 0:
                break
            low, high = (low, inverse) if slope > 0 else (inverse, high)
            newton = curvature > 0 and count < NEWTON_STEPS  # towards an end its steps are too small
            step = inverse - slope / curvature if newton else math.inf
            previous, inverse = inverse, step if low < step < high else math.sqrt(low * high)
            if abs(inverse - previous) < PRECISION * previous:
                break
        self.temperature = 1 / inverse

    def __call__(self, outputs: Outputs) -> Tensor:
        if math.isnan(self.temperature):
            raise UserError("temperature_scaling: fit it before it scores")
        return in_blocks(self._score, outputs.logits)

    def _score(self, logits: Tensor) -> Tensor:
        logits = at_least_single(logits) / self.temperature
        return MaximumSoftmax()(Outputs(logits, logits))


def _slope(known: Known, inverse: float) -> tuple[float, float]:
    """First and second derivative of the mean -log p of the validation labels by the inverse temperature."""
    slope = curvature = 0.0
    images = 0
    for outputs, labels in known.val():
        logits = outputs.logits.double()
        logits = logits - logits.amax(dim=1, keepdim=True)  # equal logits are then 0, and so is the slope
        shares = (inverse * logits).softmax(dim=1)
        mean = (shares * logits).sum(dim=1)
        slope += float((mean - logits.gather(1, labels.unsqueeze(1)).squeeze(1)).sum())
        curvature += float((shares * (logits - mean.unsqueeze(1)).square()).sum())
        images += len(labels)
    if not images:
        raise UserError("temperature_scaling is fitted on validation images, and there are none; msp works without")
    return slope / images, curvature / images
