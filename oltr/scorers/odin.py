"""ODIN."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from oltr.contracts import Outputs, UserError
from oltr.scorers.precision import at_least_single


class Odin:
    """The largest softmax probability at a high temperature of an image moved towards it, negated, [B].

    The image moves by ``epsilon`` against the sign of the gradient of -log of that probability, divided by ``std`` of
    its channel: those that the test transform divides by, where epsilon is to be in units of raw pixels (Liang et al.,
    2018). The network is run twice and back once, as it stands: in which mode is the caller's business, and no gradient
    reaches its parameters.
    """

    needs_network = True

    def __init__(
        self, *, temperature: float = 1000.0, epsilon: float = 0.0014, std: Sequence[float] = (1.0, 1.0, 1.0)
    ) -> None:
        if not (temperature > 0 and math.isfinite(temperature)):
            raise UserError(f"odin: the temperature must be above 0 and finite, not {temperature:g}")
        if not (epsilon >= 0 and math.isfinite(epsilon)):
            raise UserError(f"odin: epsilon must be at least 0 and finite, not {epsilon:g}")
        if not std or not all(value > 0 and math.isfinite(value) for value in std):
            raise UserError(f"odin: std is a list of numbers above 0, one for each channel, not {list(std)}")
        self.temperature = temperature
        self.epsilon = epsilon
        self.std = tuple(float(value) for value in std)

    def score(self, forward: Callable[[Tensor], Outputs], images: Tensor) -> Tensor:
        if images.shape[1] != len(self.std):
            raise UserError(f"odin: the images have {images.shape[1]} channels, std {len(self.std)}")
        with torch.enable_grad():
            moved = images.detach().requires_grad_()
            largest = self._log_shares(forward, moved).amax(dim=1)
            (gradient,) = torch.autograd.grad(-largest.sum(), moved)
        step = self.epsilon / gradient.new_tensor(self.std).reshape(1, -1, 1, 1)
        with torch.no_grad():
            logits = self._log_shares(forward, images - step * gradient.sign())
        return -logits.amax(dim=1).exp()

    def _log_shares(self, forward: Callable[[Tensor], Outputs], images: Tensor) -> Tensor:
        return (at_least_single(forward(images).logits) / self.temperature).log_softmax(dim=1)
