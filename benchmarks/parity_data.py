"""What the published code and ours train on: images, their order and initial weights, all made by formula.

No random generator is asked, so that every machine makes the same files: an integer hash stands for each draw.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from oltr.networks.dot_product import DotProduct
from oltr.networks.meta_embedding import MetaEmbedding
from oltr.networks.pair import Memory
from oltr.networks.resnet import resnet10

NAME = "ImageNet_LT"
TRAIN = (21, 9, 6, 4, 2)
"""Training images of each class: 42, which is five batches of eight and two images that no step sees."""
CLEAR = {
    "val": ((1, 2, 4, 5), (3, 4, 6, 7), (0, 3, 4, 6), (2, 3, 5, 7), (0, 1, 2, 3)),
    "test": ((0, 1, 2, 6), (0, 1, 3, 5), (1, 3, 6, 7), (0, 3, 4, 7), (2, 3, 5, 6)),
}
"""Of each class the images that leave the published code in no doubt: its two largest logits are apart by 0.04 or more
after every epoch, ten times what rounding moves them, so that no count hangs on rounding."""
OPEN_IMAGES = 8
EPOCHS = 2
SIDE = 256  # the test transform resizes to it: here nothing is to resize
ORDERS = {"stage_1": "order_stage_1.npy", "stage_2": "order_stage_2.txt"}
WEIGHTS = {"stage_1": "initial_stage_1.pth", "stage_2": "initial_stage_2.pth"}


def write_data(folder: Path) -> None:
    """The images below ``folder/images`` and the lists below ``folder/data``, in the layout of ImageNet-LT."""
    lists = folder / "data" / NAME
    lists.mkdir(parents=True)
    wanted: dict[str, Sequence[Iterable[int]]] = {"train": [range(count) for count in TRAIN], **CLEAR}
    for turn, (split, indices) in enumerate(wanted.items()):
        lines = []
        for label, chosen in enumerate(indices):
            for index in chosen:
                name = f"{split}/class_{label}/{index:02d}.png"
                _save(folder / "images" / name, label, 1000 * turn + 100 * label + index)
                lines.append(f"{name} {label}\n")
        (lists / f"{NAME}_{split}.txt").write_text("".join(lines), encoding="utf-8")
    strangers = [f"{index:02d}.png" for index in range(OPEN_IMAGES)]
    for index, name in enumerate(strangers):
        _save(lists / f"{NAME}_open" / name, len(TRAIN) + index % 2, 9000 + index)
    (lists / f"{NAME}_open.txt").write_text("".join(f"{name} -1\n" for name in strangers), encoding="utf-8")


def write_orders(folder: Path) -> None:
    """The order of images: of stage 1 a permutation an epoch, of stage 2 the classes in turn, four images of each."""
    first = [_permutation(sum(TRAIN), 31 + epoch) for epoch in range(EPOCHS)]
    np.save(folder / ORDERS["stage_1"], np.stack(first))
    ends = np.cumsum(TRAIN)
    images = [_cycles(np.arange(end - count, end), 100 * count) for end, count in zip(ends, TRAIN, strict=True)]
    classes, lines = _cycles(np.arange(len(TRAIN)), 50), []
    for _ in range(EPOCHS):
        visits = itertools.islice(classes, -(-sum(TRAIN) // 4))
        draws = [next(images[label]) for label in visits for _ in range(4)]
        lines.append(" ".join(map(str, draws[: sum(TRAIN)])) + "\n")
    (folder / ORDERS["stage_2"]).write_text("".join(lines), encoding="utf-8")


def write_weights(folder: Path) -> None:
    """The initial weights of both stages, each a state dict of the whole pair."""
    size = {"feature_dim": 512, "num_classes": len(TRAIN)}
    first = {"backbone": resnet10(), "classifier": DotProduct(**size)}
    second = {
        "backbone": resnet10(attention=True, fc=True),
        "classifier": MetaEmbedding(**size),
        "memory": Memory(**size),
    }
    for stage, parts in (("stage_1", first), ("stage_2", second)):
        named = {f"{part}.{key}": value for part, module in parts.items() for key, value in module.state_dict().items()}
        torch.save({key: _initial(key, value) for key, value in named.items()}, folder / WEIGHTS[stage])


def _initial(key: str, value: Tensor) -> Tensor:
    """What an entry of a state dict starts as: spread as is usual for its kind, and BatchNorm as it always starts."""
    if key.endswith("num_batches_tracked") or "centroids" in key:
        return torch.zeros_like(value)
    if value.dim() == 1:  # of BatchNorm, and biases
        return torch.full_like(value, float(key.endswith(("weight", "running_var"))))
    numbers = _hash(np.arange(value.numel()), zlib.crc32(key.encode())).astype(np.float64) / 2**31 - 1  # in [-1, 1)
    spread = (6 / value[0].numel() if value.dim() == 4 else 3 / value.shape[1]) ** 0.5
    small = 0.1 if any(part in key for part in ("theta", "phi", "fc_spatial")) else 1.0
    return torch.from_numpy((small * spread * numbers).astype(np.float32)).reshape(value.shape)


def _save(path: Path, label: int, number: int) -> None:
    """An image of a class: stripes whose direction and width are the class's, on a noise of coarse squares."""
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.divmod(np.arange(SIDE * SIDE).reshape(SIDE, SIDE), SIDE)
    across, down = ((1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (1, 2), (2, -1), (-1, 2))[label]
    phase = int(_hash(np.array([number]), 7)[0]) % SIDE
    stripes = (across * x + down * y + phase) // (10 + 5 * (label % 3)) % 2
    squares = (y // 16) * (SIDE // 16) + x // 16
    channels = []
    for channel in range(3):
        noise = _hash(squares, 17 + 3 * number + channel) % 96
        tint = 24 * ((label >> channel) & 1)
        channels.append(40 + 60 * stripes + noise.astype(np.int64) + tint)
    Image.fromarray(np.stack(channels, axis=2).astype(np.uint8)).save(path, compress_level=1)


def _cycles(items: NDArray[np.int64], seed: int) -> Iterator[int]:
    """The items without end, in another order each time they have all been."""
    for turn in itertools.count(seed):
        yield from items[_permutation(len(items), turn)].tolist()


def _permutation(count: int, seed: int) -> NDArray[np.int64]:
    return np.argsort(_hash(np.arange(count), seed), kind="stable")


def _hash(numbers: NDArray[Any], seed: int) -> NDArray[np.uint64]:
    """Integers from 0 to 2**32 - 1 in place of draws: each number's own, under one seed."""
    mask = np.uint64(2**32 - 1)
    state: NDArray[np.uint64] = (
        numbers.astype(np.uint64) * np.uint64(0x9E3779B1) + np.uint64(seed * 0x85EBCA77 % 2**32)
    ) & mask
    for shift, factor in ((15, 0x85EBCA77), (13, 0xC2B2AE3D), (16, 1)):
        state = ((state ^ (state >> np.uint64(shift))) * np.uint64(factor)) & mask
    return state
