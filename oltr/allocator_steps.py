"""Training steps timed under each allocator, each in a process of its own; run as a module it is such a process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from time import perf_counter

import torch

from oltr import allocator
from oltr.contracts import RunError
from oltr.networks.blocks import BasicBlock
from oltr.networks.residual import ResidualNetwork

BATCH, STEPS, ROUNDS = 32, 3, 3
DEFAULT, KEEPING = "the C library as it is", "the C library as our runs set it"


def compare(rounds: int = ROUNDS) -> Iterator[tuple[str, float, float]]:
    """Name, images a second, and those of the C library as it is; allocators take turns, medians of the rounds."""
    clean = {key: value for key, value in os.environ.items() if key not in ("LD_PRELOAD", "MALLOC_CONF")}
    environments = {DEFAULT: clean, KEEPING: clean}
    environments |= {name: clean | allocator.variables(name, path) for name, path in allocator.found().items()}
    rates: dict[str, list[float]] = {name: [] for name in environments}
    for _ in range(rounds):
        for name, environment in environments.items():
            rates[name].append(_rate_under(environment, keep=name == KEEPING))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, rate in medians.items():
        yield name, rate, medians[DEFAULT]


def rate(*, batch: int = BATCH, size: int = 224, steps: int = STEPS) -> float:
    """Images a second in training steps of a residual network of ten layers, the first left out."""
    torch.manual_seed(0)
    network = ResidualNetwork(
        block=BasicBlock,
        depths=(1, 1, 1, 1),
        width=64,
        large_stem=True,
        attention=False,
        dropout=0.0,
        image_size=size,
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    seconds = []
    for _ in range(steps + 1):
        images, started = torch.rand(batch, 3, size, size), perf_counter()
        optimizer.zero_grad(set_to_none=True)
        network(images).square().mean().backward()
        optimizer.step()
        seconds.append(perf_counter() - started)
    return batch / statistics.median(seconds[1:])


def _rate_under(environment: dict[str, str], *, keep: bool) -> float:
    words = [sys.executable, "-m", __name__, "keep" if keep else "leave"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise RunError(f"--measure: a process that trains a small network failed: {reason}")
    return float(done.stdout)


if __name__ == "__main__":
    if sys.argv[1:] == ["keep"]:
        allocator.keep_freed_memory()
    sys.stdout.write(f"{rate()}\n")
