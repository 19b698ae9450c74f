"""The energy of the logits that the last layer gives for changed features."""

from __future__ import annotations

import torch
from torch import Tensor

from oltr.contracts import Head, Known, Outputs, UserError
from oltr.scorers.energy import Energy


def given_head(known: Known, *, scorer: str) -> Head:
    """The last layer, or an error that names the scorer which needs it."""
    if known.head is None:
        raise UserError(
            f"{scorer} needs the network's last layer, and these predictions have none; energy works without"
        )
    return known.head


def head_energy(head: Head | None, features: Tensor, *, scorer: str) -> Tensor:
    """The free energy of ``head``'s logits of ``features``, [B] (Liu et al., 2020)."""
    if head is None:
        raise UserError(f"{scorer}: fit it before it scores")
    weight, bias = head.weight.to(features), head.bias.to(features)
    if features.shape[1] != weight.shape[1]:
        sizes = f"the features have {features.shape[1]} dimensions, the last layer takes {weight.shape[1]}"
        raise UserError(f"{scorer}: {sizes}")
    return Energy()(Outputs(features, torch.addmm(bias, features, weight.T)))
