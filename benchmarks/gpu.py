"""What training on one GPU loses to anything but the network: fed from the cache, beside a batch that is there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import Spread, turns
from benchmarks.running import Settings
from oltr.computing import Computing
from oltr.contracts import Progress, UserError
from oltr.data.array_images import ArrayImages
from oltr.data.batches import Batches
from oltr.data.cache import cached
from oltr.data.split import Splits
from oltr.losses.cross_entropy import CrossEntropy
from oltr.networks.dot_product import DotProduct
from oltr.networks.pair import NetworkPair
from oltr.networks.resnet import resnet10, resnet152
from oltr.parallel import choose_device
from oltr.processes import ALONE
from oltr.stage_config import ComputeConfig
from oltr.training import Batch, WeightedLoss, fit
from oltr.transforms.imagenet import ImageNetTrain

CLASSES, STORED = 1000, 256
BACKBONES = {"resnet10": resnet10, "resnet152": resnet152}


@dataclass(frozen=True, kw_only=True)
class GpuRow:
    """Training of one network from images in the cache."""

    name: str
    backbone: str
    full: Mapping[str, int]
    tiny: Mapping[str, int]


ROWS = (
    GpuRow(
        name="stage_1_resnet10",
        backbone="resnet10",
        full={"images": 8192, "batch": 128, "side": 224, "workers": 8},
        tiny={"images": 4, "batch": 2, "side": 32, "workers": 0},
    ),
    GpuRow(
        name="stage_1_resnet152",
        backbone="resnet152",
        full={"images": 4096, "batch": 128, "side": 224, "workers": 8},
        tiny={"images": 2, "batch": 2, "side": 32, "workers": 0},
    ),
)
WANTED_SHARE, WANTED_IDLE = 0.85, 0.05


def choose(name: str | None) -> torch.device:
    """The device of the suite: a GPU, unless another one is asked for."""
    if name is not None:
        return choose_device(name)
    if not torch.cuda.is_available():
        raise UserError(
            "--suite gpu needs a CUDA device, and there is none here; --device cpu tries the code without one"
        )
    return torch.device("cuda:0")


def run_rows(
    rows: Iterable[GpuRow], settings: Settings, device: torch.device, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        found.append(_run(row, settings, device))
        tell(f"{row.name}: fed at {100 * found[-1]['share']:.0f} % of the same step on a batch in memory")
    return found


def _run(row: GpuRow, settings: Settings, device: torch.device) -> dict[str, Any]:
    sizes = dict(row.tiny if settings.tiny else row.full)
    with tempfile.TemporaryDirectory() as folder:
        epoch = Epoch(row, sizes, device, Path(folder))
        epoch.run(fed=False)  # warms up: kernels are chosen, memory is taken
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        samplers = {name: partial(epoch.sampled, fed=name == "fed") for name in ("fed", "memory")}
        times = turns(samplers, rounds=settings.rounds, sample_seconds=0)
        peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
        idle = _idle_share(partial(epoch.run, fed=True), device)
    seconds = {name: Spread.of(values) for name, values in times.items()}
    shares = Spread.of([memory / fed for memory, fed in zip(times["memory"], times["fed"], strict=True)])
    return {
        "name": row.name,
        "sizes": sizes,
        "precision": epoch.precision,
        "rounds": len(times["fed"]),
        "seconds": {name: asdict(spread) for name, spread in seconds.items()},
        "images_per_second": {name: sizes["images"] / spread.median for name, spread in seconds.items()},
        "share": shares.median,
        "waiting_share": epoch.waited / epoch.fed_seconds,
        "idle_share": idle,
        "peak_bytes": peak,
    }


class Epoch:
    """An epoch of one network that can be run again and again, fed or on a batch that stays."""

    def __init__(self, row: GpuRow, sizes: Mapping[str, int], device: torch.device, folder: Path) -> None:
        torch.manual_seed(0)
        self._device, self._steps = device, sizes["images"] // sizes["batch"]
        backbone = BACKBONES[row.backbone](image_size=sizes["side"])
        pair = NetworkPair(backbone, DotProduct(feature_dim=backbone.feature_dim, num_classes=CLASSES)).to(device)
        computing = Computing(wanted=ComputeConfig(), device=device, processes=ALONE)
        computing.apply(pair)
        self.precision = computing.describe()["precision"]
        self._batches = Batches(
            image_set=_stored(folder, sizes["images"]),
            transform=ImageNetTrain(size=sizes["side"]),
            batch_size=sizes["batch"],
            seed=0,
            device=device,
            workers=sizes["workers"],
        )
        self._images = sizes["images"]
        self._held = list(self._batches.epoch(torch.arange(sizes["batch"]), epoch=0, drop_last=True)) * self._steps
        optimizer = torch.optim.SGD(pair.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
        self._fit = partial(
            fit,
            network=pair,
            forward=computing.training_forward(pair),
            losses=[WeightedLoss(name="cross_entropy", loss=CrossEntropy())],
            optimizer=optimizer,
            settings=[{}],
            epochs=1,
        )
        self.waited = self.fed_seconds = 0.0

    def run(self, *, fed: bool) -> float:
        """Seconds of one epoch, the device's work done included."""
        began, waited = perf_counter(), self._batches.wait_seconds

        def fresh(progress: Progress) -> Iterable[Batch]:
            order = torch.randperm(self._images, generator=torch.Generator().manual_seed(1))
            return self._batches.epoch(order, epoch=1, drop_last=True) if fed else self._held

        for _ in self._fit(batches=fresh):
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
        seconds = perf_counter() - began
        if fed:
            self.waited += self._batches.wait_seconds - waited
            self.fed_seconds += seconds
        return seconds

    def sampled(self, calls: int, *, fed: bool) -> float:
        return sum(self.run(fed=fed) for _ in range(calls)) / calls


def _stored(folder: Path, images: int) -> Any:
    """Noise in a cache file that is read from the disk, not held in memory."""
    labels = np.arange(images) % CLASSES
    drawn = torch.randint(256, (images, 3, STORED, STORED), dtype=torch.uint8)
    train = ArrayImages(images=drawn, labels=labels, ids=[str(number) for number in range(images)])
    one = train.take(np.array([0]), np.array([0]))
    names = tuple(map(str, range(CLASSES)))
    splits = Splits(train=train, val=one, test=one, open=None, class_names=names, manifest={"sha256": "0"})
    return cached(splits, folder=folder, memory=0).train


def _idle_share(epoch: Callable[[], float], device: torch.device) -> float | None:
    """The share of an epoch in which no kernel ran, from the profiler's trace; None without a GPU."""
    if device.type != "cuda":
        return None
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        seconds = epoch()
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in trace.events()
        if event.device_type == DeviceType.CUDA
    )
    return 1 - covered(spans) / 1e6 / seconds


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """How much of a line sorted spans cover, what they share counted once."""
    total, end = 0.0, float("-inf")
    for start, stop in spans:
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
