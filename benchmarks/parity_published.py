"""Runs a command of the published code on the CPU with its draws taken from files, and records what it computes.

Run in a process of its own, in a folder that looks like a checkout: `python parity_published.py PLAN.json`. Nothing of
the published code is here or is changed on disk; what is put in its place at run time is listed in ``PATCHES``.
"""

from __future__ import annotations

import importlib
import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

PATCHES = (
    "Tensor.cuda() returns the tensor: no GPU is used",
    "torch's default type is that of the precision",
    "the training transform is the test transform, so that nothing is drawn",
    "the training loader's order comes from a file, and the other loaders do not shuffle",
    "the images' folder replaces the one that main.py names",
    "after init_models(), weights are set from a file: in stage 2 those that it does not load from stage 1",
    "init_criterions(), batch_loss() and eval() are followed by a record of what they computed",
)


class Order:
    """A sampler whose passes are the rows of a list."""

    def __init__(self, rows: list[list[int]]) -> None:
        self._rows = iter(rows)

    def __iter__(self) -> Iterator[int]:
        return iter(next(self._rows))


def main(plan: dict[str, Any]) -> None:
    sys.path[0] = str(Path.cwd())  # in place of this file's folder: the published code imports from its own root
    torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
    torch.set_num_threads(plan["threads"])
    torch.set_default_dtype(getattr(torch, plan["precision"]))
    record: dict[str, Any] = {"steps": [], "evaluations": []}
    arrays: dict[str, Any] = {}
    _patch_loading(importlib.import_module("data.dataloader"), plan)
    networks: Any = importlib.import_module("run_networks")
    networks.model = _recording(networks.model, plan, record, arrays)
    sys.argv = ["main.py", *plan["arguments"]]
    runpy.run_path("main.py", run_name="__main__")
    Path(plan["record"]).write_text(json.dumps(record), encoding="utf-8")
    np.savez(Path(plan["record"]).with_suffix(".npz"), **arrays)


def _patch_loading(loading: Any, plan: dict[str, Any]) -> None:
    load_data, data_loader = loading.load_data, loading.DataLoader
    phases = []

    def load(*, data_root: str, phase: str, **rest: Any) -> Any:
        phases.append(phase)
        return load_data(data_root=plan["images"], phase=phase, **rest)

    def loader(*, sampler: Any = None, shuffle: bool = False, **rest: Any) -> Any:
        order = Order(plan["order"]) if phases[-1] == "train" else None
        return data_loader(sampler=order, shuffle=False, **rest)

    loading.data_transforms["train"] = loading.data_transforms["test"]
    loading.load_data, loading.DataLoader = load, loader


def _recording(published: Any, plan: dict[str, Any], record: dict[str, Any], arrays: dict[str, Any]) -> Any:
    """The published model as a class that starts from given weights and writes down its losses and accuracies."""

    class Recording(published):  # type: ignore[misc]
        def init_models(self, *rest: Any) -> None:
            super().init_models(*rest)
            if not self.test_mode:
                _set_weights(self.networks, plan["weights"], plan["new"])

        def init_criterions(self) -> None:
            super().init_criterions()
            self.step: dict[str, float] = {}
            for name, criterion in self.criterions.items():  # by hook: the loop adds to loss_perf in place
                criterion.register_forward_hook(
                    lambda _, __, value, name=name: self.step.__setitem__(name, value.item())
                )

        def batch_loss(self, *rest: Any) -> None:
            super().batch_loss(*rest)
            record["steps"].append([self.loss.item(), *self.step.values()])

        def eval(self, phase: str = "val", openset: bool = False) -> None:
            super().eval(phase=phase, openset=openset)
            record["evaluations"].append(_evaluated(self, openset))
            arrays["logits"], arrays["labels"] = self.total_logits.numpy(), self.total_labels.numpy()

    return Recording


def _evaluated(model: Any, openset: bool) -> dict[str, float | None]:
    """What an evaluation found, and how far its closest decision was from another one."""
    known = model.total_logits[model.total_labels != -1]
    found = {
        "accuracy": model.eval_acc_mic_top1,
        "many": model.many_acc_top1,
        "medium": model.median_acc_top1,
        "few": model.low_acc_top1,
        "f_measure": model.eval_f_measure,
        "logit_margin": float(known.topk(2).values.diff(dim=1).abs().min()),
    }
    if openset:
        largest = model.total_logits.softmax(dim=1).max(dim=1).values
        found["open_accuracy"] = model.openset_acc
        found["threshold_margin"] = float((largest - model.training_opt["open_threshold"]).abs().min())
    return {key: None if value != value else float(value) for key, value in found.items()}  # its empty groups are NaN


def _set_weights(networks: dict[str, Any], path: str, new: list[str]) -> None:
    """Fill the networks from a state dict of the pair; where ``new`` names children, theirs alone."""
    given = torch.load(path, weights_only=True)
    for name, part in (("feat_model", "backbone"), ("classifier", "classifier")):
        own = networks[name].state_dict()
        ours = {
            key.replace(f"{part}.", "module.", 1): value for key, value in given.items() if key.startswith(f"{part}.")
        }
        if own.keys() != ours.keys():
            raise SystemExit(f"{path}: its {part} has other entries than the published {name}")
        chosen = {key: value for key, value in ours.items() if not new or key.split(".")[1] in new}
        networks[name].load_state_dict({**own, **chosen})


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
