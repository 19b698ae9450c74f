"""The backbones of the published OLTR experiments, for photographs (He et al., 2016; Liu et al., 2019)."""

from __future__ import annotations

from oltr.networks.blocks import BasicBlock, Bottleneck
from oltr.networks.residual import ResidualNetwork


def resnet10(
    *, attention: bool = False, fc: bool = False, dropout: float = 0.0, image_size: int = 224
) -> ResidualNetwork:
    """ResNet-10, trained from scratch on ImageNet-LT: 512 features."""
    return ResidualNetwork(
        block=BasicBlock,
        depths=(1, 1, 1, 1),
        width=64,
        large_stem=True,
        attention=attention,
        fc=fc,
        dropout=dropout,
        image_size=image_size,
    )


def resnet50(
    *, attention: bool = False, fc: bool = False, dropout: float = 0.0, image_size: int = 224
) -> ResidualNetwork:
    """ResNet-50: 2048 features, or 512 with ``fc``."""
    return ResidualNetwork(
        block=Bottleneck,
        depths=(3, 4, 6, 3),
        width=64,
        large_stem=True,
        attention=attention,
        fc=fc,
        dropout=dropout,
        image_size=image_size,
    )


def resnet152(
    *, attention: bool = False, fc: bool = False, dropout: float = 0.0, image_size: int = 224
) -> ResidualNetwork:
    """ResNet-152, fine-tuned on Places-LT: 2048 features, or 512 with ``fc``."""
    return ResidualNetwork(
        block=Bottleneck,
        depths=(3, 8, 36, 3),
        width=64,
        large_stem=True,
        attention=attention,
        fc=fc,
        dropout=dropout,
        image_size=image_size,
    )
