"""What a run must remember to go on as if it had never stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from oltr import checkpoint
from oltr.background import Background
from oltr.contracts import Sampler
from oltr.folder import RunFolder
from oltr.networks.pair import NetworkPair
from oltr.networks.weights import load_strict
from oltr.processes import Processes
from oltr.training import EpochEnd

Files = dict[Path, Mapping[str, Any]]
KEYS = ("pair", "optimizer", "sampler", "random", "epochs_done", "best")


class TrainingState:
    """Epochs done and the best so far, with the files that hold them."""

    def __init__(self, *, folder: RunFolder, keep: str, facts: Mapping[str, Any], beside: Background) -> None:
        self.folder = folder
        self.beside = beside
        self.keep = keep
        self.facts = facts
        self.epochs_done = 0
        self.best: float | None = None

    def start(self, pair: NetworkPair) -> None:
        """Keep the weights of a stage that trains for no epoch."""
        self._write(self._best(snapshot(pair.state_dict()), epoch=-1, accuracy=0.0))

    def save(
        self, pair: NetworkPair, optimizer: torch.optim.Optimizer, sampler: Sampler, end: EpochEnd, accuracy: float
    ) -> None:
        """Everything the next epoch depends on, and the weights if they are the best so far or the last are to be kept.

        What is written is copied here and now; the writing is done beside the next epoch.
        """
        self.epochs_done = end.progress.epoch + 1
        weights, files = snapshot(pair.state_dict()), {}
        if self.keep == "last" or self.best is None or accuracy > self.best:
            files = self._best(weights, epoch=end.progress.epoch, accuracy=accuracy)
        content = {
            "pair": weights,
            "optimizer": snapshot(optimizer.state_dict()),
            "sampler": snapshot(sampler.state_dict()),
            "random": checkpoint.random_state(),
            "epochs_done": self.epochs_done,
            "best": self.best,
            "facts": json.dumps(self.facts),
        }
        self._write({**files, self.folder.last: content})

    def _best(self, weights: Any, *, epoch: int, accuracy: float) -> Files:
        self.best = accuracy
        content = {"pair": weights, "epoch": epoch, "accuracy": accuracy, "facts": json.dumps(self.facts)}
        return {self.folder.best: content}

    def _write(self, files: Files) -> None:
        def work() -> None:
            for path, content in files.items():
                checkpoint.save(path, content)

        self.beside.run(work)

    def restore(
        self, pair: NetworkPair, optimizer: torch.optim.Optimizer, sampler: Sampler, processes: Processes
    ) -> None:
        """Go back, in all processes, to the end of the last epoch that was saved."""
        content = processes.once(lambda: checkpoint.load(self.folder.last, KEYS))
        load_strict(pair, content["pair"], str(self.folder.last))
        optimizer.load_state_dict(content["optimizer"])
        sampler.load_state_dict(content["sampler"])
        checkpoint.set_random_state(content["random"])
        self.epochs_done = int(content["epochs_done"])
        self.best = content["best"]


def snapshot(content: Any) -> Any:
    """The same plain data with copies of its tensors on the CPU, which what happens to the originals leaves alone."""
    if isinstance(content, Tensor):
        return content.detach().to("cpu", copy=True)
    if isinstance(content, Mapping):
        return {key: snapshot(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(snapshot(value) for value in content)
    return content
