"""The folder in which both programs work: its files, written and read."""

from __future__ import annotations

import hashlib
import pprint
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.parity_data import ORDERS, WEIGHTS, write_data, write_orders, write_weights
from benchmarks.parity_runs import RUNS


def write(folder: Path) -> None:
    """Everything that the runs read, below ``folder``."""
    write_data(folder)
    write_orders(folder)
    write_weights(folder)
    for run in RUNS:
        (folder / run.config).parent.mkdir(parents=True, exist_ok=True)
        text = f"# {run.name}\nconfig = {pprint.pformat(run.content, sort_dicts=False)}\n"
        (folder / run.config).write_text(text, encoding="utf-8")


def rows(file: Path) -> list[list[int]]:
    """The order of images, an epoch a row."""
    if file.suffix == ".npy":
        listed: list[list[int]] = np.load(file, allow_pickle=False).tolist()
        return listed
    return [[int(word) for word in line.split()] for line in file.read_text(encoding="utf-8").splitlines()]


def checksum(folder: Path) -> str:
    """A SHA-256 of all that the runs read, whatever versions of libraries have written it."""
    digest = hashlib.sha256()
    for path in sorted([*folder.rglob("*.txt"), *folder.rglob("*.py")]):
        digest.update(path.read_bytes())
    for path in sorted(folder.rglob("*.png")):
        digest.update(np.asarray(Image.open(path)).tobytes())
    for name in ORDERS.values():
        digest.update(repr(rows(folder / name)).encode())
    for name in WEIGHTS.values():
        for key, value in torch.load(folder / name, weights_only=True).items():
            digest.update(key.encode() + value.numpy().tobytes())
    return digest.hexdigest()
