"""One point of a curve of the scale study, measured in a process of its own: `python -m benchmarks.scale_points`."""

from __future__ import annotations

import gc
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from benchmarks import heads, scorers
from benchmarks.long_tail import long_tailed_labels
from benchmarks.measure import sample
from benchmarks.memory import HighWater, peak_of
from oltr.allocator import keep_freed_memory
from oltr.computing import Computing
from oltr.contracts import Progress
from oltr.data.image_files import ImageFiles
from oltr.data.list_file import read_list
from oltr.losses.cross_entropy import CrossEntropy
from oltr.networks.dot_product import DotProduct
from oltr.networks.pair import NetworkPair
from oltr.networks.small_resnet import small_resnet10
from oltr.processes import joined
from oltr.samplers.class_aware import ClassAware
from oltr.stage_config import ComputeConfig
from oltr.training import Batch, WeightedLoss, fit

CPU = torch.device("cpu")
LINES = 100_000
"""Lines of a list that are written at a time."""
Found = dict[str, float | int | None]


def head(classes: int, *, feature_dim: int = 512, batch: int = 128, calls: int = 5) -> Found:
    """Stage 2's classifier and centroid loss, forward and backward: milliseconds a step, and memory at the peak."""
    case = heads.stage_2_head(Path(), classes=classes, feature_dim=feature_dim, batch=batch)
    case.ours()
    peak = peak_of(case.ours)
    seconds = min(sample(case.ours, 1) for _ in range(calls))
    return {"milliseconds": 1000 * seconds, "images_per_second": batch / seconds, "peak_bytes": peak}


def entries(images: int, *, classes: int = 1000) -> Found:
    """A list of so many images as data set and sampler: seconds, and what an entry takes beside the bytes of its path.

    ``held_bytes`` are the arrays', before the first draws and after; ``resident_bytes`` is what the process has grown
    by before them.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        names = _write_list(path, images, min(classes, images))
        gc.collect()
        mark, began = HighWater(), perf_counter()
        listed = read_list(path)
        data = ImageFiles(folder=Path(folder), ids=listed.paths, labels=listed.labels, list_file=path)
        read, began = perf_counter() - began, perf_counter()
        labels, generator = torch.from_numpy(data.labels), torch.Generator().manual_seed(0)
        sampler = ClassAware(labels=labels, num_classes=min(classes, images), generator=generator)
        built = perf_counter() - began
        grown, peak = mark.grown(), mark.extra()
        held = _held(listed, sampler)
        began = perf_counter()
        drawn = sampler.indices(Progress(epoch=0, epochs=1))
        seconds = perf_counter() - began
    return {
        "read_seconds": read,
        "sampler_seconds": built,
        "epoch_seconds": seconds,
        "held_bytes": held / images,
        "held_bytes_drawn": _held(listed, sampler) / images,
        "resident_bytes": None if grown is None else (grown - names) / images,
        "peak_bytes": peak,
        "drawn": len(drawn),
    }


def processes(
    count: int, *, width: int = 8, side: int = 32, synced: bool = True, steps: int = 30, batch: int = 64
) -> Found:
    """Images a second of a network on batches that are there, shared by the processes of torchrun (gloo)."""
    keep_freed_memory()  # as a run does
    torch.manual_seed(0)
    with joined(CPU) as everyone:
        pair = NetworkPair(small_resnet10(width=width), DotProduct(feature_dim=8 * width, num_classes=10))
        computing = Computing(wanted=ComputeConfig(sync_batchnorm=synced), device=CPU, processes=everyone)
        computing.apply(pair)
        images, labels = torch.randn(batch, 3, side, side), torch.arange(batch) % 10
        held: list[Batch] = [(images[computing.share(batch)], labels, torch.arange(batch))] * steps
        epochs = fit(
            network=pair,
            forward=computing.training_forward(pair),
            losses=[WeightedLoss(name="cross_entropy", loss=CrossEntropy())],
            optimizer=torch.optim.SGD(pair.parameters(), lr=0.01),
            settings=[{}],
            batches=lambda progress: held,
            epochs=2,
        )
        *_, last = epochs  # the first warms up
        return {"images_per_second": steps * batch / last.seconds} if everyone.first else {}


def scorer(images: int, *, name: str, features: int = 512, classes: int = 1000) -> Found:
    """A scorer fitted on so many training features, and 8,000 images scored."""
    parts = {"fit": images, "val": 2000, "test": 5000, "open": 1000}
    counts = np.bincount(long_tailed_labels(images=images, classes=classes))
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "predictions.h5"
        scorers.write_store(store, parts=parts, counts=counts, features=features)
        mark = HighWater()
        seconds = float(scorers.alone(store, name)["seconds"])
        return {"seconds": seconds, "peak_bytes": mark.extra()}


def _write_list(path: Path, images: int, classes: int) -> int:
    """Write a list like ImageNet's, and return the bytes of its paths."""
    labels, length = long_tailed_labels(images=images, classes=classes), 0
    with path.open("w", encoding="ascii") as file:
        for start in range(0, images, LINES):
            own = labels[start : start + LINES].tolist()
            names = [f"train/n{label:08d}/n{label:08d}_{start + place}.JPEG" for place, label in enumerate(own)]
            length += sum(map(len, names))
            file.writelines(f"{name} {label}\n" for name, label in zip(names, own, strict=True))
    return length


def _held(*owners: Any) -> int:
    """Bytes of all different arrays and tensors that these objects hold, an array and a view of it being one."""
    found = {storage: size for owner in owners for storage, size in _arrays(owner, set())}
    return sum(found.values())


def _arrays(item: Any, seen: set[int]) -> Iterator[tuple[int, int]]:
    if id(item) in seen:
        return
    seen.add(id(item))
    if isinstance(item, np.ndarray):
        yield item.__array_interface__["data"][0], item.nbytes
    elif isinstance(item, torch.Tensor):
        yield item.untyped_storage().data_ptr(), item.untyped_storage().nbytes()
    elif type(item).__module__.startswith("oltr."):
        for value in vars(item).values():
            yield from _arrays(value, seen)


POINTS: dict[str, Callable[..., Found]] = {
    "head": head,
    "entries": entries,
    "processes": processes,
    "scorer": scorer,
}


def main(name: str, threads: str, options: str) -> None:
    torch.set_num_threads(int(threads))
    found = POINTS[name](**json.loads(options))
    if found:
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
