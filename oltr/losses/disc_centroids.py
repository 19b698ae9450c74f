"""The discriminative centroid loss: features near the centroid of their class and far from the others'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from oltr.contracts import Outputs, Progress, Scalar, UserError, at
from oltr.losses.inputs import full_precision


def disc_centroids_loss(
    features: Tensor,
    centroids: Tensor,
    target: Tensor,
    *,
    margin: float = 10.0,
    repel_weight: float = 0.01,
    gradient: str = "published",
    average: bool = True,
) -> Tensor:
    """Mean over the batch of half the squared distance to the own centroid, plus a weighted repelling term: a scalar.

    The repelling term is what the mean squared distance, over all B x C pairs with the own class as 0, falls short of
    ``margin`` (Liu et al., 2019). ``gradient`` "published" is the method's own rule for the centroids, see
    ``_PublishedAttraction``; "autograd" is the derivative. ``average`` False sums the attracting term over the batch.
    """
    _check(features, centroids, target, gradient)
    features, centroids, target = full_precision(features), full_precision(centroids), target.long()
    divisor = max(1, len(features)) if average else 1
    attract = _PublishedAttraction.apply if gradient == "published" else _attraction
    attracted: Tensor = attract(features, centroids, target, divisor)
    pairs = max(1, len(features)) * len(centroids)
    origin = centroids.detach().mean(dim=0)  # distances do not change, and no digits are lost to a common offset
    distances: Tensor = _DistancesToOthers.apply(features - origin, centroids - origin, target)
    repelled = (margin - distances / pairs).clamp_min(0)
    return attracted + repel_weight * repelled


@dataclass(frozen=True, kw_only=True)
class DiscCentroidsLoss:
    """The discriminative centroid loss on a pair's features and memory (Liu et al., 2019).

    With the published gradient the centroids are attracted at a rate of their own, whatever weight the loss has.
    """

    needs_memory: ClassVar[bool] = True

    margin: Scalar = 10.0
    repel_weight: Scalar = 0.01
    gradient: str = "published"

    def __post_init__(self) -> None:
        _check_gradient(self.gradient)

    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        if outputs.centroids is None:
            raise UserError("disc_centroids needs class centroids, which this network lacks: add a `memory:` section")
        return disc_centroids_loss(
            outputs.features,
            outputs.centroids,
            target,
            margin=at(self.margin, progress),
            repel_weight=at(self.repel_weight, progress),
            gradient=self.gradient,
        )


def _attraction(features: Tensor, centroids: Tensor, target: Tensor, divisor: int) -> Tensor:
    return (features - centroids.index_select(0, target)).square().sum() / (2 * divisor)


class _PublishedAttraction(torch.autograd.Function):
    """The attracting term with the published rule for centroids: sum over the class of (c - f) / (1 + n) / divisor.

    It ignores the gradient that comes in, so neither a loss weight nor a gradient scaler reaches it (Wen et al., 2016).
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, centroids: Tensor, target: Tensor, divisor: int) -> Tensor:
        away = features - centroids.index_select(0, target)  # [B, D]
        ctx.save_for_backward(away, target)
        ctx.divisor, ctx.num_classes = divisor, len(centroids)
        return away.square().sum() / (2 * divisor)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        _refuse_second_derivative()
        away, target = ctx.saved_tensors
        counts = away.new_ones(ctx.num_classes).index_add_(0, target, away.new_ones(len(target)))  # 1 + n
        pull = away / (counts[target, None] * ctx.divisor)
        pulled = away.new_zeros(ctx.num_classes, away.shape[1]).index_add_(0, target, pull, alpha=-1)
        return grad * away / ctx.divisor, pulled, None, None


class _DistancesToOthers(torch.autograd.Function):
    """Sum of the squared distances of all features to all centroids but the own, and its derivative, in O((B + C) D).

    To all C centroids it is C times as far from a feature as to their mean, and as far again as they are from that.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, centroids: Tensor, target: Tensor) -> Tensor:
        middle = centroids.mean(dim=0)
        own = features - centroids.index_select(0, target)  # [B, D]
        ctx.save_for_backward(features, centroids, target, middle, own)
        to_middle, around_it = (
            torch.linalg.vector_norm(values - middle, dim=1).square().sum() for values in (features, centroids)
        )
        total: Tensor = len(centroids) * to_middle + len(features) * around_it - own.square().sum()
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        _refuse_second_derivative()
        features, centroids, target, middle, own = ctx.saved_tensors
        of_features = (features - middle).mul_(len(centroids)).sub_(own)
        of_centroids = (centroids * len(features)).sub_(features.sum(dim=0)).index_add_(0, target, own)
        return of_features.mul_(2 * grad), of_centroids.mul_(2 * grad), None


def _refuse_second_derivative() -> None:
    if torch.is_grad_enabled():  # create_graph: once_differentiable would let a second derivative through, wrong
        raise RuntimeError("the discriminative centroid loss gives no second derivative")


def _check(features: Tensor, centroids: Tensor, target: Tensor, gradient: str) -> None:
    _check_gradient(gradient)
    if features.dim() != 2 or centroids.dim() != 2 or features.shape[1] != centroids.shape[1]:
        raise UserError(
            f"disc_centroids takes features [batch, D] and centroids [classes, D], "
            f"not {list(features.shape)} and {list(centroids.shape)}"
        )
    if target.is_floating_point() or target.shape != features.shape[:1]:
        raise UserError(
            f"disc_centroids takes class indices [{len(features)}] as its target, no soft targets, "
            f"not {str(target.dtype).removeprefix('torch.')} {list(target.shape)}"
        )


def _check_gradient(gradient: str) -> None:
    if gradient not in ("published", "autograd"):
        raise UserError(f"gradient is 'published' or 'autograd', not {gradient!r}")
