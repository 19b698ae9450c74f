"""How a network's arithmetic is done: in which precision and layout, in parts or whole, on how many devices."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from oltr.accumulation import Part
from oltr.contracts import Loss, Outputs, Progress, Transform, UserError
from oltr.networks.pair import NetworkPair
from oltr.parallel import Forward, distributed, forward_on, replicas
from oltr.processes import Processes
from oltr.stage_config import GRAPH_MODES, ComputeConfig
from oltr.sync_batchnorm import synchronise
from oltr.training import Split

NEED_NO_COMPILER = ("TORCHDYNAMO_DISABLE", "TORCH_INDUCTOR_INSTALL_GXX")
"""Where one of them is set torch compiles nothing, or brings a compiler of its own."""


@dataclass(frozen=True, kw_only=True)
class Computing:
    """What the config wants, on the device that there is."""

    wanted: ComputeConfig
    device: torch.device
    processes: Processes

    @property
    def half_precision(self) -> torch.dtype | None:
        """What autocast brings the network's arithmetic down to, if anything."""
        precision = self.wanted.precision
        if precision == "auto":
            able = self.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
            precision = "bfloat16" if able else "float32"
        return torch.bfloat16 if precision == "bfloat16" else None

    def apply(self, pair: NetworkPair) -> None:
        """Make the pair, which is on its device, compute in this way."""
        pair.compute_in(self.half_precision, channels_last=self.wanted.channels_last)
        if self.processes.count > 1 and self.wanted.sync_batchnorm:
            synchronise(pair, self.device)
        if self.wanted.compile:
            if replicas(self.device) > 1:
                raise UserError("compute.compile: not under DataParallel; use torchrun, or one GPU by --device cuda:0")
            self._demand_compiler("compile")
            mode = self.wanted.compile if isinstance(self.wanted.compile, str) else None
            pair.backbone.compile(mode=mode)
            pair.in_graphs = mode in GRAPH_MODES

    def loss(self, loss: Loss) -> Loss:
        """The loss, compiled if that is wanted."""
        return CompiledLoss(loss) if self.wanted.compile_losses else loss

    def compile_transform(self, transform: Transform, name: str) -> None:
        """Have the training transform of that name compiled, if that is wanted."""
        if self.wanted.compile_transform:
            if not hasattr(transform, "compile"):
                raise UserError(f"compute.compile_transform: {name!r} cannot be compiled: write false")
            transform.compile()

    def demand_compiler(self) -> None:
        """Raise UserError where torch would find no compiler when training works on its first batch."""
        for key in ("compile_losses", "compile_transform"):
            if getattr(self.wanted, key):
                self._demand_compiler(key)

    def _demand_compiler(self, key: str) -> None:
        if self.device.type != "cpu" or sys.platform == "win32" or set(NEED_NO_COMPILER) & set(os.environ):
            return
        words = shlex.split(os.environ.get("CXX", "")) or ["clang++" if sys.platform == "darwin" else "g++"]
        if shutil.which(words[0]) is None:
            told = f"on a CPU this takes a C++ compiler, and there is no {words[0]}; CXX names another"
            raise UserError(f"compute.{key}: {told}")

    def training_forward(self, pair: NetworkPair) -> Forward:
        """The pair as a function of this process's share of a batch."""
        if self.processes.count == 1:
            return forward_on(pair, self.device)
        return distributed(pair, self.device, self.processes, synced=self.wanted.sync_batchnorm)

    def share(self, size: int) -> list[int]:
        """The rows of a batch of ``size`` that this process works on."""
        return [row for rows in self.processes.share(size, self.wanted.accumulate) for row in rows]

    def demand_shares(self, size: int) -> None:
        """Raise UserError where a batch of ``size`` leaves a process without images."""
        parts, count = self.wanted.accumulate, self.processes.count
        if size < parts * count:
            raise UserError(f"batch_size: {size} images cannot be split into {parts} parts for {count} processes")

    def split(self) -> Split | None:
        """How a batch is cut into the parts that are worked on one after the other, if it is."""
        count = self.wanted.accumulate
        if count == 1:
            return None

        def parts(inputs: Tensor, target: Tensor) -> list[Part]:
            sizes = [len(rows) for rows in self.processes.share(len(target), count)]
            edges = [len(target) * part // count for part in range(1, count)]
            return list(zip(torch.split(inputs, sizes), target.tensor_split(edges), strict=True))

        return parts

    def describe(self) -> dict[str, Any]:
        """As plain data, with what the config left to the device decided."""
        gpus = replicas(self.device)
        whole = gpus == 1 and (self.processes.count == 1 or self.wanted.sync_batchnorm)
        return {
            "precision": "float32" if self.half_precision is None else "bfloat16",
            "channels_last": self.wanted.channels_last,
            "compile": self.wanted.compile,
            "compile_losses": self.wanted.compile_losses,
            "compile_transform": self.wanted.compile_transform,
            "accumulate": self.wanted.accumulate,
            "processes": self.processes.count,
            "gpus_per_process": gpus if self.device.type == "cuda" else 0,
            "batch_statistics": "of each part" if whole else "of each device's share of each part",
        }


class CompiledLoss:
    """A loss as torch.compile makes it; a number that changes with the epoch may have it compiled anew."""

    def __init__(self, loss: Loss) -> None:
        # Outputs are no leaves, and torch's own look at them makes it warn.
        warnings.filterwarnings("ignore", message="The .grad attribute", module=r"torch\.")
        self._compiled = torch.compile(loss.__call__)
        self.mean_over_images = bool(getattr(loss, "mean_over_images", False))

    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        return self._compiled(outputs, target, progress)
