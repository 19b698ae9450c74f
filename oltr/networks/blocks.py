"""The blocks of residual networks, and their shortcuts."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def stage(
    block: type[BasicBlock] | type[Bottleneck], channels: int, width: int, *, depth: int, stride: int, padded: bool
) -> nn.Sequential:
    """``depth`` blocks in a row, the first of which strides and widens."""
    blocks = nn.Sequential(block(channels, width, stride=stride, padded=padded))
    for _ in range(depth - 1):
        blocks.append(block(width * block.expansion, width, stride=1, padded=padded))
    return blocks


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, [B, channels, H, W] to [B, width, H / stride, W / stride]."""

    expansion = 1

    def __init__(self, channels: int, width: int, *, stride: int, padded: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(channels, width, stride=stride, padded=padded)

    def forward(self, maps: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(maps)), inplace=True)
        inner = self.bn2(self.conv2(inner))
        return F.relu(inner + self.downsample(maps), inplace=True)


class Bottleneck(nn.Module):
    """A 3 x 3 convolution, which strides, between two 1 x 1; [B, channels, ...] to [B, 4 * width, ...]."""

    expansion = 4

    def __init__(self, channels: int, width: int, *, stride: int, padded: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = shortcut(channels, 4 * width, stride=stride, padded=padded)

    def forward(self, maps: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(maps)), inplace=True)
        inner = F.relu(self.bn2(self.conv2(inner)), inplace=True)
        inner = self.bn3(self.conv3(inner))
        return F.relu(inner + self.downsample(maps), inplace=True)


class PaddedShortcut(nn.Module):
    """Every ``stride``-th pixel, with zero channels added on both sides: the shortcut without weights (option A)."""

    def __init__(self, added: int, *, stride: int) -> None:
        super().__init__()
        self.added = added
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        before = self.added // 2
        return F.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.added - before))


def shortcut(channels: int, width: int, *, stride: int, padded: bool) -> nn.Module:
    """The identity where shapes stay; else a 1 x 1 convolution with its normalisation, or padding (He et al., 2016)."""
    if stride == 1 and channels == width:
        return nn.Identity()
    if padded:
        return PaddedShortcut(width - channels, stride=stride)
    return nn.Sequential(nn.Conv2d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width))
