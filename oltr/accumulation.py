"""Gradients of a batch that is worked on in parts, because its activations do not fit into memory at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from oltr.checkpoint import random_state, set_random_state
from oltr.contracts import Outputs, UserError

Part = tuple[Tensor, Tensor]  # images [b, 3, H, W] of this process, labels [b'] of all
Summed = Callable[[Outputs, Tensor], tuple[Tensor, list[Tensor]]]
"""The losses' weighted sum and the terms of it, which is a mean over the images."""


def mean_in_parts(
    parts: Sequence[Part], forward: Callable[[Tensor], Outputs], summed: Summed
) -> tuple[Tensor, list[Tensor]]:
    """Gradients of losses that are means of what each image costs by itself: those of the parts, weighed by size."""
    size = sum(len(labels) for _, labels in parts)
    total: Tensor | None = None
    terms: list[Tensor] = []
    for images, labels in parts:
        share = len(labels) / size
        part_total, part_terms = summed(forward(images), labels)
        (part_total * share).backward()  # type: ignore[no-untyped-call]
        weighed = [share * term.detach() for term in part_terms]
        terms = weighed if total is None else [old + new for old, new in zip(terms, weighed, strict=True)]
        total = share * part_total.detach() if total is None else total + share * part_total.detach()
    assert total is not None
    return total, terms


def whole_in_parts(
    parts: Sequence[Part], forward: Callable[[Tensor], Outputs], summed: Summed, network: nn.Module
) -> tuple[Tensor, list[Tensor]]:
    """Gradients of losses that see a batch as a whole, at the price of a second forward pass.

    The first pass gives the outputs of all parts and keeps no activations; the losses' gradients with respect to them
    then go back through the second pass, part by part (Gao et al., 2021), which draws and counts as if it were the only
    one.
    """
    starts, outputs = [], []
    kept = [buffer.clone() for buffer in network.buffers()]
    with torch.no_grad():
        for images, _ in parts:
            starts.append(random_state())
            outputs.append(forward(images))
        for buffer, value in zip(network.buffers(), kept, strict=True):
            buffer.copy_(value)
    features, logits = (
        torch.cat(column).requires_grad_() for column in zip(*(out[:2] for out in outputs), strict=True)
    )
    total, terms = summed(Outputs(features, logits, outputs[0].centroids), torch.cat([labels for _, labels in parts]))
    total.backward()  # type: ignore[no-untyped-call]
    start, arrived = 0, _has_gradient(outputs[0].centroids)
    for (images, labels), state in zip(parts, starts, strict=True):
        set_random_state(state)
        again, rows = forward(images), slice(start, start + len(labels))
        start += len(labels)
        reached = [
            (out, leaf.grad[rows])
            for out, leaf in zip(again[:2], (features, logits), strict=True)
            if leaf.grad is not None and out.requires_grad
        ]
        arrived = arrived or bool(reached)
        if reached:
            torch.autograd.backward([out for out, _ in reached], [grad for _, grad in reached])
    if not arrived:
        raise UserError("no loss reaches what trains: every parameter that the losses see is frozen by `only`")
    return total.detach(), [term.detach() for term in terms]


def _has_gradient(centroids: Tensor | None) -> bool:
    return centroids is not None and centroids.grad is not None
