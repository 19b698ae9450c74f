"""The plain order of training: every image once an epoch, shuffled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from oltr.contracts import Progress, UserError


class Shuffled:
    """A permutation of the training images each epoch, so that classes are seen as often as they have images."""

    def __init__(self, *, labels: Tensor, generator: torch.Generator) -> None:
        if len(labels) == 0:
            raise UserError("the training set is empty: nothing to sample")
        self._images = len(labels)
        self._generator = generator

    def indices(self, progress: Progress) -> Tensor:
        return torch.randperm(self._images, generator=self._generator)

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._generator.set_state(state["generator"])
