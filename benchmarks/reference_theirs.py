"""The original's contenders: its own classes and functions, driven in a folder that looks like its checkout.

Nothing of the original is here. What is put in its place at run time is listed in ``PATCHES``.
"""

from __future__ import annotations

import importlib
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from benchmarks.long_tail import long_tailed_labels
from benchmarks.reference_data import classes_drawn, fill, norms, numbers
from benchmarks.reference_work import Work

PATCHES = (
    "Tensor.cuda() returns the tensor: no GPU is used",
    "time.sleep() returns at once: the original sleeps a quarter of a second before each phase",
    "networks are made as for testing, so that no weights are looked for; centroids start as the loss draws them",
    "in training the validation and the saving at the end are left out: they are rows of their own",
    "where only bookkeeping is measured, batch_forward() hands over ready features or logits",
)
Plan = Mapping[str, Any]


def patch() -> None:
    """Make the original run without CUDA, from the working directory, and without its pauses."""
    sys.path.insert(0, str(Path.cwd()))
    torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
    time.sleep = lambda seconds: None


def training(plan: Plan) -> Work:
    """An epoch of its train(), from the files."""
    model = _model(plan, _loaders(plan, "train", "val"))
    model.eval = lambda phase: setattr(model, "eval_acc_mic_top1", 1.0)
    model.save_model = lambda *rest, **named: None
    return Work(model.train)


def training_step(plan: Plan) -> Work:
    """One step on a batch in memory."""
    model = _model(plan, {})
    images = numbers(0, plan["batch"], 3, plan["side"], plan["side"])
    labels, second = classes_drawn(1, plan["batch"], 365), model.memory["centroids"]
    for network in model.networks.values():
        network.train()

    def step() -> None:
        model.batch_forward(images, labels, centroids=second, phase="train")
        model.batch_loss(labels)
        model.batch_backward()

    return Work(step)


def validation(plan: Plan) -> Work:
    """Its eval() of the validation set, from the files to the metrics."""
    model = _model(plan, _loaders(plan, "train", "val"))
    return Work(lambda: model.eval(phase="val"))


def reading(plan: Plan) -> Work:
    """Training images from JPEG files to a batch, in this process."""
    images = _loaders(plan, "train")["train"].dataset
    return Work(lambda: default_collate([images[index] for index in range(plan["images"])]))


def head(plan: Plan) -> Work:
    """The meta-embedding classifier and both losses, forward and backward."""
    classes, width, batch = plan["classes"], plan["feature_dim"], plan["batch"]
    classifier = _source("models/MetaEmbeddingClassifier.py").create_model(width, classes)
    loss_of = _source("loss/DiscCentroidsLoss.py").create_loss(width, classes)
    fill(classifier, 10)
    loss_of.centroids.data = numbers(1, classes, width, scale=0.05)
    features = numbers(0, batch, width, scale=0.05).requires_grad_()
    labels = classes_drawn(2, batch, classes)
    wanted = (features, loss_of.centroids, *(parameter for _, parameter in sorted(classifier.named_parameters())))

    def both() -> list[Tensor]:
        logits, _ = classifier(features, loss_of.centroids.data)
        loss = torch.nn.functional.cross_entropy(logits, labels) + 0.01 * loss_of(features, labels)
        return [loss.detach(), *torch.autograd.grad(loss, wanted)]

    return Work(both, facts=norms)


def bookkeeping(plan: Plan) -> Work:
    """Its eval() of ready logits: collected, then all metrics."""
    images, classes, batch = plan["images"], plan["classes"], plan["batch"]
    logits, labels = numbers(0, images, classes), classes_drawn(1, images, classes)
    logits[torch.arange(images), labels] += 3
    parts = list(zip(torch.split(logits, batch), torch.split(labels, batch), strict=True))
    model = _bare(classes, plan["folder"])
    model.data = {
        "train": _Named(dataset=_Named(labels=long_tailed_labels(images=images, classes=classes).tolist())),
        "test": [(part, known, [f"image_{place}" for place in range(len(part))]) for part, known in parts],
    }
    model.batch_forward = lambda inputs, *rest, **named: setattr(model, "logits", inputs)

    def evaluate() -> list[float]:
        model.eval(phase="test")
        groups = (model.many_acc_top1, model.median_acc_top1, model.low_acc_top1)
        return [float(value) for value in (model.eval_acc_mic_top1, model.eval_f_measure, *groups)]

    return Work(evaluate, facts=lambda found: [0.0 if value != value else value for value in found])


def class_means(plan: Plan) -> Work:
    """Its centroids_cal() of ready features."""
    features = numbers(0, plan["images"], plan["feature_dim"])
    labels = torch.from_numpy(long_tailed_labels(images=plan["images"], classes=plan["classes"]))
    parts = zip(torch.split(features, plan["batch"]), torch.split(labels, plan["batch"]), strict=True)
    data = _Batches((part, known, None) for part, known in parts)
    data.dataset = _Named(labels=labels.tolist())
    model = _bare(plan["classes"], plan["folder"], plan["feature_dim"])
    model.batch_forward = lambda inputs, **named: setattr(model, "features", inputs)
    return Work(lambda: model.centroids_cal(data), facts=lambda found: found.flatten()[:: plan["classes"]].tolist())


def class_aware(plan: Plan) -> Work:
    """Draws of its class-aware sampler."""
    labels = long_tailed_labels(images=plan["images"], classes=plan["classes"]).tolist()
    sampler = _source("data/ClassAwareSampler.py").get_sampler()(_Named(labels=labels), plan["per_class"])
    sampler.num_samples = plan["draws"]
    drawn: Callable[[], list[int]] = lambda: list(itertools.islice(sampler, plan["draws"]))  # noqa: E731
    return Work(drawn, facts=lambda found: np.bincount(np.array(labels)[found], minlength=plan["classes"]).tolist())


def focal(plan: Plan) -> Work:
    """The fork's cyclical focal loss, half-way between confident and focal."""
    loss_of = _source("loss/asl_focal_loss.py").create_loss(1, 4, 2, 11, 4)
    logits = numbers(0, plan["batch"], plan["classes"], scale=3.0).requires_grad_()
    labels = classes_drawn(1, plan["batch"], plan["classes"])

    def graded() -> list[Tensor]:
        loss = loss_of(logits, labels, 1.25)  # 1 - 4 x 1.25 / 10: eta is 0.5
        return [loss.detach(), *torch.autograd.grad(loss, (logits,))]

    return Work(graded, facts=norms)


def checkpoint_save(plan: Plan) -> Work:
    model = _model(plan, {})
    model.training_opt["log_dir"] = plan["folder"]
    states = {name: network.state_dict() for name, network in model.networks.items()}
    centroids = model.criterions["FeatureLoss"].centroids.data
    return Work(lambda: model.save_model(1, 1, states, 0.5, centroids=centroids))


def checkpoint_load(plan: Plan) -> Work:
    checkpoint_save(plan).call()
    model = _model(plan, {})
    model.training_opt["log_dir"] = plan["folder"]
    return Work(model.load_model)


def help_text(plan: Plan) -> Work:
    return Work(lambda: subprocess.run([sys.executable, "main.py", "--help"], capture_output=True, check=True))


class _Named:
    """Something with these attributes."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class _Batches(list[Any]):
    """Batches that know their data set, as a loader does."""

    dataset: _Named


def _loaders(plan: Plan, *phases: str) -> dict[str, Any]:
    loading = importlib.import_module("data.dataloader")
    options = _config(plan)["training_opt"]
    sampler = options["sampler"]
    if sampler:
        drawn = _source(sampler["def_file"]).get_sampler()
        sampler = {"sampler": drawn, "num_samples_cls": sampler["num_samples_cls"]}
    return {
        phase: loading.load_data(
            data_root=f"{plan['folder']}/images",
            dataset=options["dataset"],
            phase=phase,
            batch_size=plan["batch"],
            sampler_dic=sampler,
            num_workers=plan["workers"],
        )
        for phase in phases
    }


def _model(plan: Plan, data: Mapping[str, Any]) -> Any:
    """Its model ready to train, from one of its own configs."""
    config = _config(plan)
    config["training_opt"] |= {"batch_size": plan["batch"], "log_dir": plan["folder"], "num_epochs": 1}
    model = importlib.import_module("run_networks").model(config, data, test=True)
    model.scheduler_params = model.training_opt["scheduler_params"]
    model.model_optimizer, model.model_optimizer_scheduler = model.init_optimizers(model.model_optim_params_list)
    model.init_criterions()
    model.centroids = None
    if "train" in data:
        model.epoch_steps = len(data["train"].dataset) // plan["batch"]
    if "FeatureLoss" in model.criterions:
        model.centroids = model.criterions["FeatureLoss"].centroids.data
    return model


def _bare(classes: int, folder: str, feature_dim: int = 0) -> Any:
    """Its model without networks, for what it does around them."""
    kind = importlib.import_module("run_networks").model
    model = kind.__new__(kind)
    model.device, model.networks, model.memory = torch.device("cpu"), {}, {"centroids": False}
    model.training_opt = {"num_classes": classes, "feature_dim": feature_dim, "open_threshold": 0.1}
    model.log_file = f"{folder}/log.txt"
    return model


def _config(plan: Plan) -> dict[str, Any]:
    config: dict[str, Any] = _source(f"config/{plan['config']}.py").config
    return config


def _source(path: str) -> Any:
    return importlib.import_module("utils").source_import(path)
