"""A backbone of two convolutions."""

from __future__ import annotations

from torch import Tensor, nn


class TwoConvolutions(nn.Module):
    """Images of any size to 2 x ``width`` features."""

    def __init__(self, *, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.feature_dim = 2 * width

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images).mean((2, 3))
        return features
