"""What share of a sample lies below and above a value, without steps or ends."""

from __future__ import annotations

import torch
from torch import Tensor


class SmoothedShares:
    """The logs of the shares of a sample below and above each value, [B] and [B].

    Straight lines join the sample's distinct values, at each of which equal ones count half. Beyond both ends the rest
    falls off exponentially over the sample's standard deviation, so no value is ever at 0 or 1.
    """

    def __init__(self, sample: Tensor) -> None:
        self.sample = sample.sort().values  # [N]
        self.values, counts = torch.unique_consecutive(self.sample, return_counts=True)
        self.shares = ((counts.cumsum(0) - counts / 2) / len(sample)).to(sample)  # [U]
        spread = float(sample.std(correction=0))
        # where all are equal, rounding is not to pass for a spread
        self.spread = spread if spread > 1e-9 * max(1.0, float(sample.abs().max())) else 1.0

    def below(self, values: Tensor) -> Tensor:
        """How many of the sample are less than each value, [B]."""
        return torch.searchsorted(self.sample, values)

    def up_to(self, values: Tensor) -> Tensor:
        """How many of the sample are at most each value, [B]."""
        return torch.searchsorted(self.sample, values, right=True)

    def __call__(self, values: Tensor) -> tuple[Tensor, Tensor]:
        inside = values.clamp(self.values[0], self.values[-1])
        right = torch.searchsorted(self.values, inside).clamp(min=min(1, len(self.values) - 1))
        left = (right - 1).clamp(min=0)
        width = self.values[right] - self.values[left]
        way = (inside - self.values[left]) / width.where(width > 0, 1)
        below = torch.lerp(self.shares[left], self.shares[right], way)
        falls_short = (self.values[0] - values).clamp(min=0) / self.spread
        exceeds = (values - self.values[-1]).clamp(min=0) / self.spread
        log_below, log_above = below.log() - falls_short, (1 - below).log() - exceeds
        beyond, short = exceeds > 0, falls_short > 0
        return log_below.where(~beyond, torch.log1p(-log_above.exp())), log_above.where(
            ~short, torch.log1p(-log_below.exp())
        )
