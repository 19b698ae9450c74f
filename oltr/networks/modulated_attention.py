"""Modulated attention: self-attention over a feature map, weighed by where in the image to look."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from oltr.contracts import UserError


class ModulatedAttention(nn.Module):
    """A non-local block, [B, C, size, size] to the same shape, that a spatial softmax weighs before it is added.

    The similarities are not scaled by 1 / sqrt(C / 2). The last convolution starts at zero, so that a new layer is the
    identity (Wang et al., 2018; Liu et al., 2019).
    """

    def __init__(self, *, channels: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.g = nn.Conv2d(channels, channels // 2, 1)
        self.theta = nn.Conv2d(channels, channels // 2, 1)
        self.phi = nn.Conv2d(channels, channels // 2, 1)
        self.conv_mask = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.fc_spatial = nn.Linear(channels * size**2, size**2)
        for embedding in (self.g, self.theta, self.phi):
            nn.init.kaiming_normal_(embedding.weight)
            nn.init.zeros_(embedding.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.conv_mask.weight)

    def forward(self, maps: Tensor) -> Tensor:
        spatial, mask = self.attend(maps)
        return spatial.unsqueeze(1) * mask + maps

    def attend(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Where to look, [B, size, size] with sum 1, and the self-attention mask, [B, C, size, size]."""
        if maps.shape[-2:] != (self.size, self.size):
            height, width = maps.shape[-2:]
            raise UserError(f"modulated attention is sized for {self.size} x {self.size} maps, not {height} x {width}")
        spatial = torch.softmax(self.fc_spatial(maps.flatten(1)), dim=1)
        queries, keys, values = (project(maps).flatten(2) for project in (self.theta, self.phi, self.g))  # [B, C/2, P]
        similarity = torch.softmax(queries.transpose(1, 2) @ keys, dim=2)  # [B, P, P]
        attended = values @ similarity.transpose(1, 2)  # [B, C/2, P]
        mask: Tensor = self.conv_mask(attended.reshape(len(maps), attended.shape[1], self.size, self.size))
        return spatial.reshape(len(maps), self.size, self.size), mask
