"""Residual networks of any depth and width: what the backbones of this folder are made of."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from oltr.contracts import UserError
from oltr.networks.blocks import BasicBlock, Bottleneck, stage
from oltr.networks.modulated_attention import ModulatedAttention


class ResidualNetwork(nn.Module):
    """Images [B, 3, H, W] to features [B, feature_dim]: a stem, stages of blocks, and the mean over the map.

    The children are named as in published checkpoints; ``fc_add`` and ``modulatedatt`` are there only where asked for.
    Without attention any image size works; with it, images are ``image_size`` square (He et al., 2016; Liu et al.,
    2019).
    """

    def __init__(
        self,
        *,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, ...],
        width: int,
        large_stem: bool = False,
        padded_shortcuts: bool = False,
        fan: Literal["fan_in", "fan_out"] = "fan_out",
        attention: bool,
        fc: bool = False,
        dropout: float,
        image_size: int,
    ) -> None:
        super().__init__()
        check_options(width=width, dropout=dropout, image_size=image_size)
        kernel, stride = (7, 2) if large_stem else (3, 1)
        self.conv1 = nn.Conv2d(3, width, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if large_stem else nn.Identity()
        self.stages = [f"layer{number}" for number in range(1, len(depths) + 1)]
        channels = width
        for number, (name, depth) in enumerate(zip(self.stages, depths, strict=True)):
            blocks = stage(
                block, channels, width << number, depth=depth, stride=2 if number else 1, padded=padded_shortcuts
            )
            self.add_module(name, blocks)
            channels = (width << number) * block.expansion
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc_add = nn.Linear(channels, 512) if fc else None
        self.dropout = nn.Dropout(dropout)
        self.feature_dim = 512 if fc else channels
        self.image_size = image_size
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode=fan, nonlinearity="relu")
        # After that loop, since it starts its own weights; and so last in the state dict, as published.
        map_size = -(-image_size // ((4 if large_stem else 1) << (len(depths) - 1)))  # every stride rounds up
        self.modulatedatt = ModulatedAttention(channels=channels, size=map_size) if attention else None

    def forward(self, images: Tensor) -> Tensor:
        return self.beyond("maps", self.until("maps", images))

    @property
    def cuts(self) -> dict[str, tuple[str, ...]]:
        """Where the network can be cut in two, the last place first, and the children that stand beyond each."""
        last = ("fc_add", "dropout")
        return {"pooled": last, "maps": ("modulatedatt", "avgpool", *last)}

    def until(self, cut: str, images: Tensor) -> Tensor:
        """What stands at a cut: pooled features [B, C], or the last maps [B, C, h, w]."""
        if self.modulatedatt is not None and images.shape[-2:] != (self.image_size, self.image_size):
            height, width = images.shape[-2:]
            raise UserError(
                f"the backbone's attention is sized for images of {self.image_size} x {self.image_size}, "
                f"not {height} x {width}: set the backbone's image_size, or resize the images"
            )
        maps: Tensor = self.maxpool(F.relu(self.bn1(self.conv1(images)), inplace=True))
        for name in self.stages:
            maps = self.get_submodule(name)(maps)
        return maps if cut == "maps" else self._pooled(maps)

    def beyond(self, cut: str, values: Tensor) -> Tensor:
        """The features, from what stands at a cut."""
        pooled = self._pooled(values) if cut == "maps" else values
        if self.fc_add is not None:
            pooled = F.relu(self.fc_add(pooled), inplace=True)
        features: Tensor = self.dropout(pooled)
        return features

    def _pooled(self, maps: Tensor) -> Tensor:
        if self.modulatedatt is not None:
            return self.modulatedatt.mean(maps)
        pooled: Tensor = self.avgpool(maps).flatten(1)
        return pooled


def check_options(*, width: int, dropout: float, image_size: int) -> None:
    """Raise UserError for the first of a backbone's options that makes no network."""
    if width < 1:
        raise UserError(f"width: a backbone has at least 1 channel, not {width}")
    if not 0 <= dropout < 1:
        raise UserError(f"dropout: the share of features to drop is in [0, 1), not {dropout}")
    if image_size < 1:
        raise UserError(f"image_size: the side of an image is at least 1 pixel, not {image_size}")
