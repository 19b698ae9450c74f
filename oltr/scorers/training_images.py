"""What a scorer is fitted on, or a message that says what is not there."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from oltr.contracts import Head, Known, Outputs, UserError
from oltr.scorers.head_energy import given_head


def training_images(known: Known, scorer: str) -> Iterator[tuple[Outputs, Tensor]]:
    """Outputs and labels of the training images, block by block; there is at least one image."""
    images = 0
    for outputs, labels in known.train():
        if len(labels):
            images += len(labels)
            yield outputs, labels
    if not images:
        raise UserError(f"{scorer} is fitted on training images, and there are none; msp works without")


def last_layer(known: Known, scorer: str) -> Head:
    """The network's last layer, in double precision."""
    weight, bias = given_head(known, scorer=scorer)
    return Head(weight.double(), bias.double())


def predicted(outputs: Outputs) -> Tensor:
    """The class of the largest logit, of equal ones the first, int64 [B]."""
    return outputs.logits.argmax(dim=1)


def unfitted(scorer: str) -> UserError:
    """What a scorer says that is asked for scores before its fit."""
    return UserError(f"{scorer}: fit it before it scores")


def rounding(mean_square: float) -> float:
    """The length below which single precision cannot tell features from zero; 1 where all of them are zero.

    ``mean_square`` is the mean squared length of the training features.
    """
    length = float(torch.finfo(torch.float32).eps * mean_square**0.5)
    return length if length > 0 else 1.0
