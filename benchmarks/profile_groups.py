"""Operators by what they are for, and where the time of a piece of work went, by these groups."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from time import perf_counter
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from oltr.data.batches import Batches
from oltr.training import Batch

READING, REST = "reading", "rest"
PATTERNS = {
    "convolution, backward": r"convolution_backward|ConvolutionBackward",
    "convolution": r"::\w*(conv2d|convolution)\b",
    "batch norm": r"batch_norm|BatchNorm",
    "relu, pooling, sums": r"::(relu_?|clamp_min_?|threshold_backward|\w*_pool2d\w*|mean|sum|add_?)$",
    "optimizer": r"::_(fused|foreach)_\w+$",
    "products, softmax": r"::(addmm_?|mm|bmm|baddbmm_?|linear|_?(log_)?softmax\w*|nll_loss\w*|cross_entropy\w*)$",
    "copies, casts": r"::(copy_|_to_copy|to|clone|contiguous|cat|stack|fill_|zero_|index_select|empty\w*)$",
}
"""What an operator's name holds, in this order: the first that fits is its group."""
GROUPS = (*PATTERNS, READING, REST)


class MarkedBatches(Batches):
    """Batches that tell the profiler how long the loop stood and got the next one."""

    def epoch(self, *args: Any, **kwargs: Any) -> Iterator[Batch]:
        return marked(super().epoch(*args, **kwargs))


def marked(batches: Iterator[Batch]) -> Iterator[Batch]:
    while True:
        with record_function(READING):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def group_of(operator: str) -> str:
    return next((group for group, pattern in PATTERNS.items() if re.search(pattern, operator)), REST)


def shares(work: Callable[[], Any], device: torch.device) -> dict[str, float]:
    """What share of the time of ``work`` each group had: of operators the time that none inside them had.

    On a GPU that of their kernels; the rest is time in which none of these ran. They sum to 1.
    """
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as trace:
        began = perf_counter()
        work()
        if on_gpu:
            torch.cuda.synchronize(device)
        seconds = perf_counter() - began
    spent = dict.fromkeys(GROUPS, 0.0)
    for event in trace.events():
        if event.device_type != torch.autograd.DeviceType.CPU:  # type: ignore[attr-defined]
            continue
        if on_gpu:
            spent[group_of(event.name)] += event.self_device_time_total / 1e6
        elif event.name == READING:
            spent[READING] += event.cpu_time_total / 1e6
        elif event.thread == _thread(trace) and not _while_reading(event):
            spent[group_of(event.name)] += event.self_cpu_time_total / 1e6
    return _of_the_whole(spent, seconds)


def _of_the_whole(spent: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Shares of ``seconds``, of which whatever no group had is the rest's."""
    known = {group: spent[group] for group in GROUPS if group != REST}
    whole = max(seconds, sum(known.values()))
    return {**{group: value / whole for group, value in known.items()}, REST: 1 - sum(known.values()) / whole}


def _thread(trace: Any) -> int:
    """That of the loop, which reads."""
    found: int = next((event.thread for event in trace.events() if event.name == READING), trace.events()[0].thread)
    return found


def _while_reading(event: Any) -> bool:
    while event is not None:
        if event.name == READING:
            return True
        event = event.cpu_parent
    return False
