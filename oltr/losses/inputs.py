"""What the classification losses ask of their logits and targets."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from oltr.contracts import Scalar, UserError


def full_precision(values: Tensor) -> Tensor:
    """The values in float32 where they come in half precision, else as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def prepare(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [B, C] in full precision, and their target: int64 indices [B], or probabilities [B, C] of that type."""
    if logits.dim() != 2:
        raise UserError(f"a loss takes logits of shape [batch, classes], not {list(logits.shape)}")
    logits = full_precision(logits)
    if target.is_floating_point() and target.shape == logits.shape:
        return logits, target.to(logits.dtype)
    if not target.is_floating_point() and target.shape == logits.shape[:1]:
        return logits, target.long()
    raise UserError(
        f"a loss takes class indices [{len(logits)}] or probabilities {list(logits.shape)} as its target, "
        f"not {str(target.dtype).removeprefix('torch.')} {list(target.shape)}"
    )


def cool(logits: Tensor, temperature: float) -> Tensor:
    """The logits divided by the softmax temperature."""
    check_number("temperature", temperature)
    return logits if temperature == 1 else full_precision(logits) / temperature


def check_number(name: str, number: Scalar) -> None:
    """A scalar of a classification loss lies within its range; a schedule is judged by its values, once they come."""
    if callable(number):
        return
    if name == "temperature" and not 0 < number < math.inf:
        raise UserError(f"temperature is a number above 0, not {number:g}")
    if name.startswith("gamma") and not 0 <= number < math.inf:
        raise UserError(f"{name} is a number of at least 0, not {number:g}")
    if name == "label_smoothing" and not 0 <= number <= 1:
        raise UserError(f"label_smoothing is a share between 0 and 1, not {number:g}")
