"""The cyclical focal loss; the asymmetric focal and the focal loss are special cases of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from oltr.contracts import Outputs, Progress, Scalar, at
from oltr.losses.inputs import check_number, cool, prepare


def cyclical_focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    eta: float,
    gamma_pos: float = 0.0,
    gamma_neg: float = 4.0,
    gamma_hc: float = 2.0,
    label_smoothing: float = 0.1,
) -> Tensor:
    """From the asymmetric focal loss (``eta`` 0) to one that favours confident samples (``eta`` 1), [B] (Smith, 2022).

    The term -q log p of the smoothed target q has the weight (1 - eta) (1 - p)^gamma_pos + eta (1 + p)^gamma_hc in the
    target's class and (1 - eta) p^gamma_neg + eta in any other. For probabilities [B, C] the loss is the mean, under
    them, of the losses for each class, so linear in the target (the published code takes the argmax instead). Values
    and gradients are finite for any gamma >= 0 (as far as 2^gamma_hc is a number); targets get no gradient.
    """
    check_number("label_smoothing", label_smoothing)
    for name, gamma in (("gamma_pos", gamma_pos), ("gamma_neg", gamma_neg), ("gamma_hc", gamma_hc)):
        check_number(name, gamma)
    logits, target = prepare(logits, target)
    smoothed = label_smoothing / max(1, logits.shape[1])
    terms = _Terms(eta, gamma_pos, gamma_neg, gamma_hc, own=1 - label_smoothing + smoothed, smoothed=smoothed)
    loss: Tensor = _CyclicalFocal.apply(logits.log_softmax(dim=1), target, terms)
    return loss


def asymmetric_focal_loss(
    logits: Tensor, target: Tensor, *, gamma_pos: float = 0.0, gamma_neg: float = 4.0, label_smoothing: float = 0.1
) -> Tensor:
    """A focal loss with an exponent for the target's class and one for the others, [B] (Ridnik et al., 2021)."""
    return cyclical_focal_loss(
        logits, target, eta=0.0, gamma_pos=gamma_pos, gamma_neg=gamma_neg, label_smoothing=label_smoothing
    )


def focal_loss(logits: Tensor, target: Tensor, *, gamma: float = 2.0, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy times (1 - p)^gamma, in its softmax form, [B] (Lin et al., 2017); smoothed others get p^gamma."""
    return asymmetric_focal_loss(logits, target, gamma_pos=gamma, gamma_neg=gamma, label_smoothing=label_smoothing)


@dataclass(frozen=True, kw_only=True)
class CyclicalFocalLoss:
    """Mean cyclical focal loss of the logits over ``temperature``, by default in its published OLTR setting.

    ``factor`` shapes the cycle; an ``eta`` takes its place: 0 is the asymmetric focal loss.
    """

    mean_over_images: ClassVar[bool] = True

    gamma_pos: Scalar = 0.0
    gamma_neg: Scalar = 4.0
    gamma_hc: Scalar = 2.0
    factor: float = 2.0
    eta: Scalar | None = None
    label_smoothing: Scalar = 0.1
    temperature: Scalar = 1.0

    def __post_init__(self) -> None:
        Progress(epoch=0, epochs=1).cycle(self.factor)
        for name in ("gamma_pos", "gamma_neg", "gamma_hc", "label_smoothing", "temperature"):
            check_number(name, getattr(self, name))

    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        return cyclical_focal_loss(
            cool(outputs.logits, at(self.temperature, progress)),
            target,
            eta=progress.cycle(self.factor) if self.eta is None else at(self.eta, progress),
            gamma_pos=at(self.gamma_pos, progress),
            gamma_neg=at(self.gamma_neg, progress),
            gamma_hc=at(self.gamma_hc, progress),
            label_smoothing=at(self.label_smoothing, progress),
        ).mean()


class _Terms(NamedTuple):
    """One class's term of the loss as a function of l = log p, and its slope, where p moves with l."""

    eta: float
    gamma_pos: float
    gamma_neg: float
    gamma_hc: float
    own: float
    """Share of the smoothed target in the target's class."""
    smoothed: float
    """And in each class."""

    def positive(self, log_p: Tensor) -> tuple[Tensor, Tensor]:
        """In the target's class."""
        log_p = log_p.clamp_max(0)
        p, rest = log_p.exp(), -log_p.expm1()
        focal, confident = self._shared(rest**self.gamma_pos, (1 + p) ** self.gamma_hc)
        # l (1 - p)^(gamma - 1), finite for any gamma: l / (1 - p) tends to -1 as p tends to 1.
        ratio = torch.where(rest > 0, log_p / rest, -1.0)
        slope = focal * (1 - self.gamma_pos * p * ratio) + confident * (1 + self.gamma_hc * p * log_p / (1 + p))
        return log_p * (focal + confident), slope

    def negative(self, log_p: Tensor) -> tuple[Tensor, Tensor]:
        """In any other class; both from one exponential, which takes longer than all else."""
        focal = (self.gamma_neg * log_p).exp_().mul_(self.smoothed * (1 - self.eta))
        rest = self.smoothed * self.eta
        value = (focal + rest).mul_(log_p)
        return value, focal.addcmul_(focal, log_p, value=self.gamma_neg).add_(rest)

    def _shared(self, focal: Tensor, confident: Tensor) -> tuple[Tensor, Tensor]:
        return focal.mul_(self.own * (1 - self.eta)), confident.mul_(self.own * self.eta)


class _CyclicalFocal(torch.autograd.Function):
    """The loss of log-probabilities [B, C]; its slope, in closed form, is all it keeps. Index targets are never spread.

    What stands before them is log_softmax, which keeps its output, and whose own backward pass is one pass.
    """

    @staticmethod
    def forward(ctx: Any, log_p: Tensor, target: Tensor, terms: _Terms) -> Tensor:
        named, share = _named(log_p, target)
        gain, gain_slope = terms.positive(named)
        if terms.smoothed:
            others, slope = terms.negative(log_p)
            loss = others.sum(dim=1)
            if target.dim() == 2:
                loss, slope = loss * share.sum(dim=1), slope.mul_(share.sum(dim=1, keepdim=True))
            not_other, not_other_slope = terms.negative(named)
            gain, gain_slope = gain - not_other, gain_slope - not_other_slope
        else:
            loss, slope = torch.zeros_like(log_p[:, 0]), torch.zeros_like(log_p)
        gain_slope = share * gain_slope
        slope = slope.add_(gain_slope) if target.dim() == 2 else slope.scatter_add_(1, target[:, None], gain_slope)
        ctx.save_for_backward(slope)
        return -(loss + (share * gain).sum(dim=1))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():  # create_graph: once_differentiable would let a second derivative through, wrong
            raise RuntimeError("the cyclical focal loss gives no second derivative")
        (slope,) = ctx.saved_tensors
        return slope * -grad[:, None], None, None


def _named(log_p: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the classes that the targets name, and their shares: [B, 1], or [B, C] of soft targets."""
    if target.dim() == 2:
        return log_p, target
    named = log_p.gather(1, target[:, None])
    return named, torch.ones_like(named)
