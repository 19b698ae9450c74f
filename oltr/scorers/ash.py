"""Activation shaping."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from oltr.contracts import Head, Known, Outputs, UserError
from oltr.scorers.head_energy import given_head, head_energy
from oltr.scorers.in_blocks import in_blocks
from oltr.scorers.percentile import checked_percentile, largest, sharpness
from oltr.scorers.precision import at_least_single

VARIANTS = ("s", "p", "b")


class ActivationShaping:
    """The energy after each image's smaller activations are set to 0, [B] (Djurisic et al., 2023).

    What is left stays as it is (``p``), becomes the sum of all activations shared out equally (``b``), or is multiplied
    by exp(sum of all / sum of those left) (``s``). The method is made for activations that are never negative; where
    some are, as in a cosine or meta-embedding classifier, size means magnitude and signs are kept, which comes to the
    same for activations that are not negative. One of 0 stays 0, also in ``b`` where too few others are left.
    """

    needs_head = True

    def __init__(self, *, variant: Literal["s", "p", "b"] = "s", percentile: float = 90.0) -> None:
        if variant not in VARIANTS:
            raise UserError(f"ash: the variant is one of {', '.join(VARIANTS)}, not {variant}")
        self.variant = variant
        self.percentile = checked_percentile(percentile, scorer="ash")
        self.head: Head | None = None

    def fit(self, known: Known) -> None:
        self.head = given_head(known, scorer="ash")

    def __call__(self, outputs: Outputs) -> Tensor:
        return in_blocks(self._score, outputs.features)

    def _score(self, features: Tensor) -> Tensor:
        return head_energy(self.head, self.shaped(at_least_single(features)), scorer="ash")

    def shaped(self, features: Tensor) -> Tensor:
        """The features as the variant leaves them, [B, E]."""
        magnitudes = features.abs()
        above, places = largest(magnitudes, self.percentile)
        kept = features.gather(1, places)
        if self.variant == "s":
            kept = kept * sharpness(magnitudes, above).exp().unsqueeze(1)
        elif self.variant == "b":
            kept = kept.sign() * (magnitudes.sum(dim=1, keepdim=True) / places.shape[1])
        return torch.zeros_like(features).scatter(1, places, kept)
