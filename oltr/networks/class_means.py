"""The class centroids that a memory starts from."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from oltr.contracts import UserError


@torch.no_grad()
def class_means(batches: Iterable[tuple[Tensor, Tensor]], num_classes: int) -> Tensor:
    """The mean feature of each class, [C, D], over batches of features [B, D] and labels [B]; zero for an empty class.

    Sums are kept in float64 on the features' device. The batches are drawn without gradients, so a generator that runs
    the network needs no care of its own.
    """
    sums: Tensor | None = None
    counts = torch.zeros(num_classes, dtype=torch.float64)
    for features, labels in batches:
        if sums is None:
            sums = features.new_zeros(num_classes, features.shape[1], dtype=torch.float64)
            dtype = torch.promote_types(features.dtype, torch.float32)
        if not len(labels):
            continue
        here = labels.cpu()
        low, high = (int(end) for end in here.aminmax())
        if low < 0 or high >= num_classes:
            raise UserError(f"class means: labels {low} to {high}, but {num_classes} classes")
        sums.index_add_(0, labels.to(sums.device), features.double())
        counts.index_add_(0, here, counts.new_ones(1).expand(len(here)))
    if sums is None:
        raise UserError("class means: there is not one batch to take them over")
    return (sums / counts.clamp(min=1).to(sums.device).unsqueeze(1)).to(dtype)
