"""What this machine offers a run, and what would make runs faster here: `oltr doctor`."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from oltr import allocator
from oltr.cores import usable_cores
from oltr.provenance import cpu_name

HELPFUL_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
MIB = 2**20


def examine(*, measure: bool = False) -> list[str]:
    """The lines that `oltr doctor` prints: facts, then advice, each beginning with what to do."""
    flags = cpu_flags()
    told = [*machine(flags), *packages(), *gpus(), *allocators()]
    told += measured() if measure else []
    todo = advice(flags, measure=measure)
    return [*told, "", *(todo or ["Nothing to do: runs are as fast here as we know how."])]


def machine(flags: set[str]) -> list[str]:
    """Processor, cores, threads and memory."""
    helpful = [flag for flag in HELPFUL_FLAGS if flag in flags]
    return [
        f"processor: {cpu_name()}" + (f" ({', '.join(helpful)})" if helpful else ""),
        f"cores: {usable_cores()} usable of {os.cpu_count()}; torch computes in {torch.get_num_threads()} threads",
        *_memory(),
    ]


def packages() -> list[str]:
    from oltr.data.image_files import decoder
    from oltr.pixels import turner

    installed = ", ".join(f"{name} {_version(name)}" for name in ("torch", "torchvision", "numpy", "h5py"))
    return [
        f"packages: {installed}",
        f"JPEG files are decoded by {decoder()}",
        f"colours are put outermost by {turner()}",
    ]


def gpus() -> list[str]:
    lines = [_gpu(index) for index in range(torch.cuda.device_count())]
    return lines or ["no CUDA device: runs compute on the CPU"]


def allocators() -> list[str]:
    """Who hands out memory, and who else could."""
    used, there = allocator.preloaded(), allocator.found()
    others = [f"{name} ({path})" for name, path in there.items() if name != used]
    return [
        f"memory is handed out by {used or 'the C library, which runs have keep what is freed where it is GNU'}"
        + (f"; also there: {', '.join(others)}" if others else "; no other allocator was found")
    ]


def measured() -> list[str]:
    """How much faster training steps are with each allocator that is there."""
    from oltr.allocator_steps import compare

    return ["training steps of a small residual network, images a second:"] + [
        f"  {name}: {rate:.1f} ({rate / default:.2f} times)" for name, rate, default in compare()
    ]


def advice(flags: set[str], *, measure: bool = False) -> list[str]:
    """What to do, each line beginning with it."""
    lines = []
    cores, threads = usable_cores(), torch.get_num_threads()
    if threads < cores and not torch.cuda.is_available():
        lines.append(f"Set OMP_NUM_THREADS={cores}: torch computes in {threads} of {cores} cores.")
    if threads > cores:
        lines.append(f"Set OMP_NUM_THREADS={cores}: {threads} threads on {cores} cores wait for each other.")
    if not torch.cuda.is_available():
        lines += _allocator_advice(measure)
        if "avx512_bf16" in flags or "amx_bf16" in flags:
            lines.append(
                "Try compute.precision=bfloat16: this processor multiplies bfloat16 "
                "faster. It rounds more; see docs/computing.md."
            )
    return lines


def _allocator_advice(measure: bool) -> list[str]:
    if allocator.preloaded():
        return []
    there = allocator.found()
    if not there:
        return [
            "Install jemalloc (Debian, Ubuntu: libjemalloc2) and ask again: training on a CPU may be faster with it."
        ]
    name, path = next(iter(there.items()))
    compared = "" if measure else " `oltr doctor --measure` tells how much."
    return [f"Preload {name}, large tensors may cost less: {allocator.command(name, path)}{compared}"]


def cpu_flags(path: Path = Path("/proc/cpuinfo")) -> set[str]:
    """What the processor can do, in Linux's words; empty elsewhere."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    told = [line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))]
    return set(told[0]) if told else set()


def _gpu(index: int) -> str:
    try:
        facts = torch.cuda.get_device_properties(index)
        with torch.cuda.device(index):
            able = torch.cuda.is_bf16_supported(including_emulation=False)
    except RuntimeError as error:  # a driver that does not fit, a device that is taken: what a doctor is asked for
        return f"cuda:{index}: there, but not usable: {str(error).splitlines()[0]}"
    half = "made for bfloat16" if able else "not made for bfloat16"
    return f"cuda:{index}: {facts.name}, {facts.total_memory / MIB:,.0f} MiB, {half}"


def _memory(path: Path = Path("/proc/meminfo")) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    sizes = {name: int(rest.split()[0]) / 1024 for name, _, rest in (line.partition(":") for line in lines) if rest}
    free = sizes.get("MemAvailable", sizes.get("MemFree"))  # some containers' systems do not tell the former
    if free is None or "MemTotal" not in sizes:
        return []
    return [f"memory: {free:,.0f} MiB free of {sizes['MemTotal']:,.0f} MiB"]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
