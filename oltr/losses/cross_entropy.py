"""Softmax cross-entropy, with label smoothing and class weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from oltr.contracts import Outputs, Progress, Scalar, UserError, at
from oltr.losses.inputs import check_number, cool, prepare


def cross_entropy(
    logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy of each sample, [B], for class indices [B] or probabilities [B, C].

    A class weight multiplies its own term of the sum over classes, smoothed share included.
    """
    check_number("label_smoothing", label_smoothing)
    logits, target = prepare(logits, target)
    weight = None if class_weights is None else class_weights.to(logits)
    return functional.cross_entropy(logits, target, weight=weight, reduction="none", label_smoothing=label_smoothing)


def effective_number_weights(train_counts: NDArray[np.int64], *, beta: float = 0.9999) -> NDArray[np.float64]:
    """Class weights (1 - beta) / (1 - beta^n) that sum to the number of classes, [C] (Cui et al., 2019).

    ``beta`` 0 weighs all classes alike; 1 is the limit 1 / n. A class without training images weighs nothing.
    """
    if not 0 <= beta <= 1:
        raise UserError(f"beta is a number between 0 and 1, not {beta:g}")
    counts = np.asarray(train_counts, dtype=np.float64)
    if not (counts > 0).any():
        raise UserError("class weights need a class with training images, but train_counts has none")
    if beta == 0:
        effective = np.ones_like(counts)
    else:
        effective = counts if beta == 1 else -np.expm1(counts * math.log(beta)) / (1 - beta)
    weights = np.divide(1.0, effective, out=np.zeros_like(counts), where=counts > 0)
    return np.asarray(weights * (len(counts) / weights.sum()))


class CrossEntropy:
    """Mean cross-entropy of the logits over ``temperature``; with class weights, the mean weighted by the targets' own.

    ``class_weights`` is one number a class, or "balanced": effective numbers of samples at ``beta``.
    """

    def __init__(
        self,
        *,
        label_smoothing: Scalar = 0.0,
        temperature: Scalar = 1.0,
        class_weights: str | Sequence[float] | None = None,
        beta: float = 0.9999,
        train_counts: NDArray[np.int64] | None = None,
    ) -> None:
        self.label_smoothing = label_smoothing
        self.temperature = temperature
        self.class_weights = _class_weights(class_weights, beta, train_counts)
        self.mean_over_images = self.class_weights is None  # the weighted mean's divisor is the whole batch's
        check_number("label_smoothing", label_smoothing)
        check_number("temperature", temperature)

    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        logits = cool(outputs.logits, at(self.temperature, progress))
        smoothing = at(self.label_smoothing, progress)
        if self.class_weights is None:
            return cross_entropy(logits, target, label_smoothing=smoothing).mean()
        if len(self.class_weights) != logits.shape[1]:
            raise UserError(f"class_weights has {len(self.class_weights)} numbers for {logits.shape[1]} classes")
        self.class_weights = self.class_weights.to(logits.device)
        loss = cross_entropy(logits, target, label_smoothing=smoothing, class_weights=self.class_weights)
        weights = self.class_weights.to(loss.dtype)
        share = target.to(loss.dtype) @ weights if target.is_floating_point() else weights[target]
        return loss.sum() / share.sum().clamp_min(torch.finfo(loss.dtype).tiny)


def _class_weights(
    choice: str | Sequence[float] | None, beta: float, train_counts: NDArray[np.int64] | None
) -> Tensor | None:
    if choice is None:
        return None
    if choice == "balanced":
        if train_counts is None:
            raise UserError("class_weights 'balanced' needs train_counts, the number of training images of each class")
        return torch.from_numpy(effective_number_weights(train_counts, beta=beta))
    if isinstance(choice, str):
        raise UserError(f"class_weights is 'balanced' or a list of one number a class, not {choice!r}")
    if train_counts is not None and len(choice) != len(train_counts):
        raise UserError(f"class_weights has {len(choice)} numbers for {len(train_counts)} classes")
    weights = torch.tensor(list(choice), dtype=torch.float64)
    if not bool(((weights >= 0) & weights.isfinite()).all()) or not bool((weights > 0).any()):
        raise UserError("class_weights are finite numbers of at least 0, one of them above 0")
    return weights
