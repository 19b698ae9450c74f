"""How far resized pixels may be from torchvision's."""

import torch
from torch import Tensor

LEVELS = 0 if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512") else 1
"""Where the processor lacks AVX2, torchvision resizes by way of float32 and rounds; ours are bytes throughout."""


def assert_same_pixels(ours: Tensor, theirs: Tensor) -> None:
    assert ours.dtype == theirs.dtype == torch.uint8
    torch.testing.assert_close(ours.int(), theirs.int(), rtol=0, atol=LEVELS)
