"""The class centroids that a memory starts from."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oltr.contracts import UserError


@torch.no_grad()
def class_means(batches: Iterable[tuple[Tensor, Tensor]], num_classes: int) -> Tensor:
    """The mean feature of each class, [C, D], over batches of features [B, D] and labels [B]; zero for an empty class.

    Sums are kept in float64 on the features' device. The batches are drawn without gradients, so a generator that runs
    the network needs no care of its own.
    """
    sums: Tensor | None = None
    counts = np.zeros(num_classes, dtype=np.int64)
    for features, labels in batches:
        if sums is None:
            sums = features.new_zeros(num_classes, features.shape[1], dtype=torch.float64)
            dtype = torch.promote_types(features.dtype, torch.float32)
        if not len(labels):
            continue
        counts += _counted(labels, num_classes)
        sums.index_add_(0, labels.to(sums.device), features.double())
    if sums is None:
        raise UserError("class means: there is not one batch to take them over")
    divisors = torch.from_numpy(np.maximum(counts, 1)).to(sums.device)
    return (sums / divisors.unsqueeze(1)).to(dtype)


def _counted(labels: Tensor, num_classes: int) -> NDArray[np.int64]:
    """How often each class is among the labels [B], which are looked at before a device meets one that is none."""
    here = labels.cpu().numpy()
    if not 0 <= here.min() <= here.max() < num_classes:
        raise UserError(f"class means: labels {here.min()} to {here.max()}, but {num_classes} classes")
    return np.bincount(here, minlength=num_classes)
