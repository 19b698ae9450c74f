"""The command `python -m benchmarks.profile`: where the time of training and validation goes, by kinds of operators."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import reference_data, reference_ours
from benchmarks.profile_groups import GROUPS, marked, shares
from benchmarks.running import measured_here
from benchmarks.table import as_digits, head, line, write
from oltr.cached_batches import CachedBatches
from oltr.contracts import Progress
from oltr.division import Division
from oltr.training import Batch

Plan = Mapping[str, Any]
RESULTS = Path(__file__).parent / "results"
FULL = {"side": 224, "batch": 64, "images": 256, "depth": 10, "workers": 0}
TINY = {"side": 224, "batch": 2, "images": 4, "depth": 10, "workers": 0}
FIRST, SECOND = "ImageNet_LT/stage_1", "ImageNet_LT/stage_2"


def cached_training(plan: Plan) -> Callable[[], Any]:
    """An epoch of fit() on the maps that the frozen backbone made of one batch, again and again."""
    device = torch.device(plan["device"])
    pair = reference_ours.pair_of(plan)
    division = Division(pair.train(), plan["only"])
    images = reference_data.numbers(0, plan["batch"], 3, plan["side"], plan["side"]).to(device)
    with torch.no_grad():
        values = division.until(images).cpu().repeat(plan["images"] // plan["batch"], 1, 1, 1)
    labels = reference_data.classes_drawn(1, len(values), 1000)
    cached = CachedBatches(values=values, labels=labels, batch_size=plan["batch"], device=device)

    def batches(progress: Progress) -> Iterator[Batch]:
        return marked(cached.epoch(torch.randperm(len(values)), epoch=0, drop_last=True))

    return reference_ours.epoch_of(plan, batches, pair=pair, forward=division.rest)


def training(plan: Plan) -> Callable[[], Any]:
    return reference_ours.training(plan).call


def validation(plan: Plan) -> Callable[[], Any]:
    return reference_ours.validation(plan).call


CASES: dict[str, tuple[Callable[[Plan], Callable[[], Any]], dict[str, Any]]] = {
    "stage 1, bfloat16": (training, {"config": FIRST, "half": True}),
    "stage 1, float32": (training, {"config": FIRST}),
    "stage 2, bfloat16": (training, {"config": SECOND, "half": True}),
    "stage 2 from cached maps, float32": (cached_training, {"config": SECOND, "only": ["modulatedatt"]}),
    "validation, bfloat16": (validation, {"config": FIRST, "half": True}),
}


def profiled(sizes: Mapping[str, Any], device: torch.device, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Each case: once to count its products, once by the clock, once under the profiler."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        reference_data.write(Path(folder), width=500, images=sizes["images"], dataset="ImageNet_LT")
        for name, (make, plan) in CASES.items():
            torch.manual_seed(0)
            work = make({**sizes, **plan, "folder": folder, "device": str(device)})
            with FlopCounterMode(display=False) as counted:
                work()
            seconds = _seconds(work, device)
            row = {"name": name, "sizes": dict(sizes), "seconds": seconds, "shares": shares(work, device)}
            row["images_per_second"] = sizes["images"] / seconds
            row["gflop_per_second"] = counted.get_total_flops() / 1e9 / seconds
            rows.append(row)
            tell(f"{name}: {row['images_per_second']:.3g} images/s, {row['gflop_per_second']:.3g} GFLOP/s")
    return rows


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    began = perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - began


def markdown(results: Mapping[str, Any]) -> str:
    sizes = results["rows"][0]["sizes"]
    return "\n".join(
        [
            *head(results),
            f"ResNet-{sizes['depth']} at {sizes['side']}, batch {sizes['batch']}, {sizes['images']} images a pass. "
            "Shares of the time of the loop; what each group holds: docs/performance.md.",
            "",
            line(["", *GROUPS, "images/s", "GFLOP/s"]),
            line(["---", *["---:"] * (len(GROUPS) + 2)]),
            *(line(_cells(row)) for row in results["rows"]),
            "",
        ]
    )


def _cells(row: Mapping[str, Any]) -> list[str]:
    rates = [as_digits(row[key]) for key in ("images_per_second", "gflop_per_second")]
    return [row["name"], *(f"{row['shares'][group]:.1%}" for group in GROUPS), *rates]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table of the CPU and, where there is one, of the GPU; returns the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.profile", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the files go (default: benchmarks/results)")
    parser.add_argument("--threads", type=int, help="of torch (default: as many as it takes)")
    parser.add_argument("--tiny", action="store_true", help="sizes that show nothing but that it runs")
    chosen = parser.parse_args(arguments)
    reference_ours.patch()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    for device in ("cpu", *(["cuda:0"] if torch.cuda.is_available() else [])):
        suite = "profile" if device == "cpu" else "profile_gpu"
        there, sizes = torch.device(device), TINY if chosen.tiny else FULL
        results = measured_here(suite, partial(profiled, sizes, there, _tell), there)
        print(markdown(results), end="")
        for path in write(results, chosen.out, markdown):
            _tell(f"written: {path}")
    return 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
