"""Cross-entropy of logits that are shifted by the classes' frequencies (Menon et al., 2021)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from oltr.contracts import Outputs, Progress, Scalar, at


class LogitAdjustedLoss:
    """Mean cross-entropy of the logits plus ``tau`` times the log of the class frequencies."""

    def __init__(self, *, train_counts: NDArray[np.int64], tau: Scalar = 1.0) -> None:
        counts = np.maximum(train_counts, 1)
        self.log_prior = torch.from_numpy(np.log(counts / counts.sum()))  # [C]
        self.tau = tau

    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        shift = at(self.tau, progress) * self.log_prior.to(outputs.logits)
        return functional.cross_entropy(outputs.logits + shift, target)
