"""Images resized, and their colours put outermost: decoders and the cache have them innermost, networks outermost."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def resized(image: Tensor, size: Sequence[int]) -> Tensor:
    """A uint8 image [3, h, w] as [3, H, W] in the layout that it has; torchvision's to the byte.

    (On a processor without AVX2 torchvision goes by way of float32, and a value may differ by one level.) Straight to
    torch, as torchvision's checks on the way there take a tenth of the time. And as a batch that says in all its
    strides where the colours lie: where they are innermost torch would else turn them outermost, for nearly as long
    as it resizes.
    """
    batch = image.permute(1, 2, 0)[None].permute(0, 3, 1, 2)
    shaped: Tensor = interpolate(batch, size=list(size), mode="bilinear", antialias=True)[0]
    return shaped


def middle(image: Tensor, size: int) -> Tensor:
    """The square in the middle of an image that is no smaller."""
    top, left = (round((length - size) / 2) for length in image.shape[1:])
    return image.narrow(1, top, size).narrow(2, left, size)


def colours_outermost(image: Tensor) -> Tensor:
    """A uint8 image [3, h, w] as one that lies in memory as its shape says; OpenCV, if installed, is fastest at it."""
    innermost = image.permute(1, 2, 0)
    opencv = _opencv() if innermost.stride()[1:] == (3, 1) and image.dtype == torch.uint8 else None
    if opencv is None:
        return image.contiguous()
    planes = torch.empty(image.shape, dtype=torch.uint8)
    opencv.split(innermost.numpy(), list(planes.numpy()))
    return planes


def turner() -> str:
    """What puts colours outermost here."""
    return (
        "torch, which takes it three times as long as OpenCV (pip install oltr[fast])"
        if _opencv() is None
        else "OpenCV"
    )


@cache
def _opencv() -> Any:
    """The library, or None: a run can do without it."""
    try:
        import cv2
    except ImportError:
        return None
    return cv2
