"""Backbones for images of about 32 pixels: a 3 x 3 stem, and no pooling before the last."""

from __future__ import annotations

from oltr.networks.blocks import BasicBlock
from oltr.networks.residual import ResidualNetwork


def resnet32(*, attention: bool = False, dropout: float = 0.0, image_size: int = 32) -> ResidualNetwork:
    """The ResNet-32 of the CIFAR experiments, of widths 16, 32, 64: 64 features.

    Its shortcuts subsample and pad with zero channels, without weights; convolutions start by fan-in (He et al., 2016;
    Cao et al., 2019).
    """
    return ResidualNetwork(
        block=BasicBlock,
        depths=(5, 5, 5),
        width=16,
        padded_shortcuts=True,
        fan="fan_in",
        attention=attention,
        dropout=dropout,
        image_size=image_size,
    )


def small_resnet10(
    *, width: int = 16, attention: bool = False, dropout: float = 0.0, image_size: int = 32
) -> ResidualNetwork:
    """Four stages of one block each, of widths 1, 2, 4 and 8 times ``width``: 8 times ``width`` features."""
    return ResidualNetwork(
        block=BasicBlock,
        depths=(1, 1, 1, 1),
        width=width,
        attention=attention,
        dropout=dropout,
        image_size=image_size,
    )
