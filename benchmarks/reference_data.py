"""What the original and ours are measured on: JPEG files, lists, and numbers drawn from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.long_tail import long_tailed_labels

FILES = 48
"""Different images; lists name them again and again, so that the page cache holds them."""
KINDS = {500: (500, 375, 13.0, 90), 256: (256, 256, 7.5, 80)}
"""Width, height, noise and JPEG quality by width: about 100 KB as in ImageNet, about 17 KB as in Places."""


def write(folder: Path, *, width: int, images: int, dataset: str) -> None:
    """Files below ``folder/images``, and below ``folder/data`` the lists train, val and test of so many lines each."""
    wide, high, noise, quality = KINDS[width]
    names = [f"{number:03d}.jpg" for number in range(min(FILES, images))]
    (folder / "images").mkdir()
    for number, name in enumerate(names):
        _photograph(number, wide, high, noise).save(folder / "images" / name, quality=quality)
    lists = folder / "data" / dataset
    lists.mkdir(parents=True, exist_ok=True)
    labels = labels_of(images)
    lines = "".join(f"{names[place % len(names)]} {label}\n" for place, label in enumerate(labels))
    for split in ("train", "val", "test"):
        (lists / f"{dataset}_{split}.txt").write_text(lines, encoding="utf-8")


def labels_of(images: int) -> Sequence[int]:
    """Long-tailed labels of a list with four images a class in the mean."""
    labels: list[int] = long_tailed_labels(images=images, classes=max(1, images // 4)).tolist()
    return labels


def numbers(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    """Normal numbers that both sides draw alike."""
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def classes_drawn(seed: int, images: int, classes: int) -> Tensor:
    return torch.randint(classes, (images,), generator=torch.Generator().manual_seed(seed))


def fill(module: nn.Module, seed: int) -> None:
    """Numbers for all parameters of a module, by the order of their names, which is the same on both sides."""
    with torch.no_grad():
        for place, (_, parameter) in enumerate(sorted(module.named_parameters())):
            parameter.copy_(numbers(seed + place, *parameter.shape, scale=0.05))


def norms(tensors: Sequence[Tensor]) -> list[float]:
    """One number for each tensor."""
    return [float(tensor.double().norm()) for tensor in tensors]


def _photograph(seed: int, width: int, height: int, noise: float) -> Image.Image:
    """Soft patches of colour under noise, which sets how well the file compresses."""
    chance = np.random.default_rng(seed)
    patches = Image.fromarray(chance.integers(256, size=(9, 12, 3), dtype=np.uint8))
    soft = np.asarray(patches.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    grain = chance.normal(0, noise, (height, width, 1)) + chance.normal(0, noise / 3, (height, width, 3))
    return Image.fromarray((soft + grain).clip(0, 255).astype(np.uint8))
