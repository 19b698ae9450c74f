"""The part of a feature that the training features have next to none of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from oltr.contracts import Known, UserError
from oltr.scorers.scatter import principal_axes
from oltr.scorers.training_images import last_layer, rounding, training_images


@dataclass(frozen=True, kw_only=True)
class Subspace:
    """The principal subspace of the training features about the last layer's origin, and what lies outside it.

    The origin is where the logits are smallest together, ``-pinv(weight) @ bias``. The subspace has ``dimensions``
    principal axes, or as many as the training features span, if these are fewer: which of the directions without any
    training feature were to belong to it would be chance.
    """

    origin: Tensor  # [E]
    axes: Tensor  # [E, D], orthonormal
    noise: float
    """The length below which single precision cannot tell features apart."""

    @classmethod
    def of(cls, known: Known, scorer: str, dimensions: int | None) -> Subspace:
        """One pass over ``known``'s training images."""
        weight, bias = last_layer(known, scorer)
        rounded = torch.finfo(torch.float32).eps * max(weight.shape)  # weights come in single precision
        origin = -(torch.linalg.pinv(weight, rtol=rounded) @ bias)
        size = len(origin)
        if dimensions is not None and dimensions >= size:
            raise UserError(
                f"{scorer}: dimensions must be below {size}, the features', to leave any over: {dimensions}"
            )
        moment, images, squares = weight.new_zeros(size, size), 0, 0.0
        for outputs, _ in training_images(known, scorer):
            features = outputs.features.double()
            squares += float(features.square().sum())
            points = features - origin
            moment.addmm_(points.T, points)
            images += len(points)
        noise = rounding(squares / images)
        _, axes = principal_axes(moment / images, noise)
        wanted = usual_dimensions(size) if dimensions is None else dimensions
        return cls(origin=origin, axes=axes[:, :wanted], noise=noise)

    def residual(self, features: Tensor) -> Tensor:
        """The length of what of each feature [B, E], about the origin, lies outside the subspace, [B]."""
        points = features.double() - self.origin
        lengths: Tensor = torch.linalg.vector_norm(points - (points @ self.axes) @ self.axes.T, dim=1)
        return lengths


def usual_dimensions(size: int) -> int:
    """How many dimensions the principal subspace of features of this many has (Wang et al., 2022).

    The paper's 1000 for 2048 and more, and 512 for 768, as its code has it; below that half of them.
    """
    if size >= 1500:
        return 1000
    return 512 if size >= 768 else size // 2


def checked_dimensions(scorer: str, dimensions: int | None) -> int | None:
    """``dimensions`` as it was given, checked."""
    if dimensions is not None and dimensions < 1:
        raise UserError(f"{scorer}: dimensions must be at least 1, not {dimensions}")
    return dimensions
