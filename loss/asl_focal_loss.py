"""Door for existing CFL trainers: the published schedule, quirks and all, over ``oltr.losses.cyclical_focal``.

Label smoothing is always 0.1, soft targets are hardened, and eta is not clamped: trainers that count epochs from 1, or
name too few ``epochs``, get an eta outside [0, 1], as published (Smith, 2022). Where that divides by zero, eta is 0
(``factor`` 1 at its end, as in the published code's other copy) or 1 (a single epoch).
"""

from __future__ import annotations

from torch import Tensor, nn

from oltr.losses.cyclical_focal import asymmetric_focal_loss, cyclical_focal_loss
from oltr.published.schedules import cycle


class AsymmetricFocalLoss(nn.Module):
    """The loss without a cycle, called with (logits, target)."""

    def __init__(self, gamma_pos: float, gamma_neg: float) -> None:
        super().__init__()
        self.gammas = {"gamma_pos": gamma_pos, "gamma_neg": gamma_neg}

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return asymmetric_focal_loss(logits, _hardened(target), **self.gammas).mean()


class CyclicalFocalLoss(nn.Module):
    """The loss with its cycle, called with (logits, target, epoch)."""

    def __init__(self, gamma_pos: float, gamma_neg: float, gamma_hc: float, epochs: int, factor: float) -> None:
        super().__init__()
        self.gammas = {"gamma_pos": gamma_pos, "gamma_neg": gamma_neg, "gamma_hc": gamma_hc}
        self.epochs, self.factor = epochs, factor

    def forward(self, logits: Tensor, target: Tensor, epoch: int) -> Tensor:
        return cyclical_focal_loss(logits, _hardened(target), eta=self.eta(epoch), **self.gammas).mean()

    def eta(self, epoch: int) -> float:
        return cycle(epoch, epochs=self.epochs, factor=self.factor)


def create_loss(gamma_pos: float, gamma_neg: float, gamma_hc: float, epochs: int, factor: float) -> nn.Module:
    if gamma_hc == 0:
        return AsymmetricFocalLoss(gamma_pos, gamma_neg)
    return CyclicalFocalLoss(gamma_pos, gamma_neg, gamma_hc, epochs, factor)


def _hardened(target: Tensor) -> Tensor:
    return target.argmax(dim=1) if target.dim() > 1 else target
