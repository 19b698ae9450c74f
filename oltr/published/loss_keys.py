"""The criterions and the memory of a published config as our losses and memory. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oltr.published.config_file import Keys
from oltr.published.named_file import MemoryUse, NamedFile, demand_sizes, step_schedule
from oltr.published.positional import REQUIRED, Maker

SOFTMAX = Maker({})
FOCAL = Maker(dict.fromkeys(("gamma_pos", "gamma_neg", "gamma_hc", "epochs", "factor"), REQUIRED))
CENTROIDS = Maker({"feat_dim": 512, "num_classes": 1000})
"""The parameters of each published ``create_loss``."""

CYCLE = "oltr.published.schedules:CycleFromOne"


def memory_of(memory: Keys, feature_loss: NamedFile | None) -> MemoryUse:
    """Whether there are centroids, who reads them and how they start.

    A user's own FeatureLoss that trains has some, whether or not the classifier reads them.
    """
    read, means = bool(memory.value("centroids")), bool(memory.value("init_centroids"))
    if means and feature_loss is None:
        raise memory.error("init_centroids", "the centroids are those of a FeatureLoss, and criterions has none")
    if feature_loss is None:
        return MemoryUse(present=False, read=False, means=False)
    ours, trains = feature_loss.published is not None, bool(feature_loss.section.value("optim_params", None))
    return MemoryUse(present=read or means or ours or trains, read=read, means=means)


def performance_of(named: NamedFile, training: Keys, notes: list[str]) -> dict[str, Any]:
    """The loss on logits. A user's own is told the epoch where CFL's rule says so."""
    section, params = named.section, named.section.section("loss_params")
    if section.value("optim_params"):
        notes.append(f"{section.at('optim_params')} has no effect: this loss has nothing to train")
    weight = {"weight": section.number("weight")}
    if named.published == "loss/SoftmaxLoss.py":
        SOFTMAX.bind(params, notes)
        return {"name": "cross_entropy", **weight}
    if named.published == "loss/asl_focal_loss.py":
        return {**_focal(FOCAL.bind(params, notes), params, training, notes), **weight}
    confident = params.in_order().get("gamma_hc")
    by_epoch = named.file.find("focal") > 0 and isinstance(confident, int | float) and confident > 0
    return {**named.wrapped("losses:PerformanceLoss", "loss_params", notes), "epoch": by_epoch, **weight}


def _focal(values: Mapping[str, Any], params: Keys, training: Keys, notes: list[str]) -> dict[str, Any]:
    """The cyclical focal loss with the published cycle: its own epochs, counted from 1, not clamped."""
    gammas = {name: values[name] for name in ("gamma_pos", "gamma_neg", "gamma_hc")}
    loss: dict[str, Any] = {"name": "cyclical_focal", **gammas, "label_smoothing": 0.1}
    if values["gamma_hc"] == 0:
        return {**loss, "eta": 0.0}
    own, factor, epochs = values["epochs"], values["factor"], training.whole("num_epochs")
    if own != epochs:
        notes.append(f"{params.at('epochs')} is {own!r} in a stage of {epochs}: the cycle is the loss's, as published")
    if own == 1 or (factor == 1 and epochs >= own):
        notes.append(f"{params.at('factor')}: where the published code divides by zero, eta is {1 if own == 1 else 0}")
    return {**loss, "eta": {"name": CYCLE, "epochs": own, "factor": factor}}


def feature_of(
    named: NamedFile, training: Keys, memory: MemoryUse, width: int, notes: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The loss on features, and what the stage is told of the centroids that a user's own loss starts with."""
    weight = {"weight": named.section.number("weight")}
    if named.published == "loss/DiscCentroidsLoss.py":
        params = named.section.section("loss_params")
        demand_sizes(params, CENTROIDS.bind(params, notes), training, width)
        return {"name": "disc_centroids", **weight}, {}
    part = "CentroidLoss" if memory.present else "FeatureLoss"
    loss = named.wrapped(f"losses:{part}", "loss_params", notes)
    brings = memory.present and not memory.means
    return {**loss, **weight}, {"feature_loss": loss["file"], "arguments": loss["arguments"]} if brings else {}


def memory_optim(criterions: Keys, training: Keys, notes: list[str]) -> dict[str, Any]:
    """The centroids' own settings; the published loop keeps their optimizer only if no criterion comes after theirs."""
    section, last = criterions.section("FeatureLoss"), list(criterions)[-1]
    if section.value("optim_params") and last == "FeatureLoss":
        return step_schedule(section.section("optim_params"), training)
    why = f"dropped, since {last} stands after FeatureLoss" if section.value("optim_params") else "None"
    notes.append(f"{section.at('optim_params')} is {why}: the centroids do not train, as published")
    return {"lr": 0.0, "momentum": 0.0, "weight_decay": 0.0}
