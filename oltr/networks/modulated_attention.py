"""Modulated attention: self-attention over a feature map, weighed by where in the image to look."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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

    def mean(self, maps: Tensor) -> Tensor:
        """The mean of the output over its positions, [B, C], at half the arithmetic.

        What is summed over positions in the end may be summed before ``g`` and ``conv_mask``, which are linear: they
        then act on one vector an image.
        """
        spatial, similarity = self._weigh(maps)
        shares = spatial.unsqueeze(1) @ similarity  # [B, 1, P]: how much of each position is seen in all
        flat = maps.flatten(2)  # [B, C, P]
        seen = (flat @ shares.transpose(1, 2)).squeeze(2)  # [B, C]
        values = F.linear(seen, self.g.weight.flatten(1), self.g.bias)  # the shares have sum 1, so the bias comes once
        return F.linear(values, self.conv_mask.weight.flatten(1)) / self.size**2 + flat.mean(2)

    def attend(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Where to look, [B, size, size] with sum 1, and the self-attention mask, [B, C, size, size]."""
        spatial, similarity = self._weigh(maps)
        attended = self.g(maps).flatten(2) @ similarity.transpose(1, 2)  # [B, C/2, P]
        mask: Tensor = self.conv_mask(attended.reshape(len(maps), attended.shape[1], self.size, self.size))
        return spatial.reshape(len(maps), self.size, self.size), mask

    def _weigh(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Where to look, [B, P], and what each position sees of the others, [B, P, P]; each row has sum 1."""
        if maps.shape[-2:] != (self.size, self.size):
            height, width = maps.shape[-2:]
            raise UserError(f"modulated attention is sized for {self.size} x {self.size} maps, not {height} x {width}")
        spatial = torch.softmax(self.fc_spatial(maps.flatten(1)), dim=1)
        queries, keys = (project(maps).flatten(2) for project in (self.theta, self.phi))  # [B, C/2, P]
        return spatial, torch.softmax(queries.transpose(1, 2) @ keys, dim=2)
