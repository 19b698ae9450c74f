"""What a run must remember to go on as if it had never stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from oltr import checkpoint
from oltr.contracts import Sampler
from oltr.folder import RunFolder
from oltr.networks.pair import NetworkPair
from oltr.networks.weights import load_strict
from oltr.processes import Processes
from oltr.training import EpochEnd

KEYS = ("pair", "optimizer", "sampler", "random", "epochs_done", "best")


class TrainingState:
    """Epochs done and the best so far, with the files that hold them."""

    def __init__(self, *, folder: RunFolder, keep: str, facts: Mapping[str, Any]) -> None:
        self.folder = folder
        self.keep = keep
        self.facts = facts
        self.epochs_done = 0
        self.best: float | None = None

    def offer(self, pair: NetworkPair, epoch: int, accuracy: float) -> None:
        """Keep the weights if they are the best so far, or if the last are to be kept."""
        if self.keep == "last" or self.best is None or accuracy > self.best:
            self.best = accuracy
            content = {"pair": _on_cpu(pair), "epoch": epoch, "accuracy": accuracy, "facts": json.dumps(self.facts)}
            checkpoint.save(self.folder.best, content)

    def save(self, pair: NetworkPair, optimizer: torch.optim.Optimizer, sampler: Sampler, end: EpochEnd) -> None:
        """Everything the next epoch depends on."""
        self.epochs_done = end.progress.epoch + 1
        content = {
            "pair": _on_cpu(pair),
            "optimizer": optimizer.state_dict(),
            "sampler": sampler.state_dict(),
            "random": checkpoint.random_state(),
            "epochs_done": self.epochs_done,
            "best": self.best,
            "facts": json.dumps(self.facts),
        }
        checkpoint.save(self.folder.last, content)

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


def _on_cpu(pair: NetworkPair) -> dict[str, Tensor]:
    return {key: value.detach().cpu() for key, value in pair.state_dict().items()}
