"""A published Python config as a config of this suite: without its quirks, each of which a comment names."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oltr import legacy
from oltr.contracts import UserError
from oltr.plain_data import write_yaml
from oltr.published import cfl

DATA_SETS = {("ImageNet_LT", 1000): "imagenet_lt", ("Places_LT", 365): "places_lt"}
"""The data sets that are parts of their own, by list name and number of classes."""

CYCLE = ("criterions.PerformanceLoss.loss_params.epochs", "criterions.PerformanceLoss.loss_params.factor")
"""Keys of a quirk that is dropped here, so that notes of it would be wrong."""


def converted(path: Path) -> str:
    """The YAML of the config at ``path``, under comments on what it leaves behind."""
    if path.suffix != ".py":
        raise UserError(f"{path}: not a published config, which is a .py file")
    found = legacy.read(path, command_line=False)
    plain, dropped = dict(found.plain), [f"training_opt.log_dir, {found.folder}: a run's folder follows from --out"]
    if cfl.rules(path):
        dropped.append("the command line's gammas and factor, which overwrite those of a CFL config: these are its own")
    own = [plain[key]["name"] for key in ("backbone", "classifier") if "file" in plain[key]]
    own += [loss["name"] for loss in plain["losses"] if "file" in loss]
    plain = {**_start(plain, path, dropped), **{key: value for key, value in plain.items() if key != "stage"}}
    plain["data"] = _data(plain["data"])
    plain["backbone"] = _network(_backbone(plain["backbone"], dropped), "backbone", dropped)
    plain["classifier"] = _network(plain["classifier"], "classifier", dropped)
    plain["losses"] = [_loss(loss, dropped) for loss in plain["losses"]]
    for part in (plain["backbone"], plain["classifier"], *plain["losses"]):
        if isinstance(part, dict):
            part.pop("sha256", None)  # a run of the YAML notes the file's place alone
    plain |= _settings(plain)
    dropped.append("float32 throughout: the device decides; compute: {precision: float32} keeps it")
    del plain["compute"], plain["keep"]
    kept = [f"{name} runs a file of your own; write it as a part of this suite to be rid of that" for name in own]
    kept += [note for note in found.notes if not note.startswith(CYCLE)]
    return _comments(path, dropped, kept) + "\n" + write_yaml(plain)


def write(path: Path, target: Path | None) -> str:
    """The converted config, or the line that says where it was written."""
    text = converted(path)
    if target is None:
        return text
    if target.exists():
        raise UserError(f"{target} is there already; convert into another file")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return f"{target}\n"


def _start(plain: Mapping[str, Any], path: Path, dropped: list[str]) -> dict[str, Any]:
    """The stage, and the config that it starts from."""
    stage, backbone = plain["stage"], plain["backbone"]
    if isinstance(stage, str) or any("file" in plain[key] for key in ("backbone", "classifier")):
        return {"stage": stage}
    if plain.get("memory") is not None and not stage["init_centroids"]:
        dropped.append("centroids that start at random: they start as the class means")
    weights, head = stage.get("backbone_weights"), stage.get("classifier_weights")
    attention = "architecture" in backbone
    children = [child for child, there in (("modulatedatt", attention), ("fc_add", backbone["fc"])) if there]
    if weights is None:
        if head is not None:
            dropped.append(f"the head of {head}: without its backbone it is of no use; the stage starts afresh")
        return {"stage": "feature"}
    if stage["caffe"]:
        return {"stage": {"name": "feature", "weights": weights, "new": children, "unused": ["fc"]}}
    found = legacy.stages_1_of(path, weights, prefers_cfl=cfl.rules(path))
    if not found:
        dropped.append(f"{weights}: no config beside this one writes it, and init_from: stage_1 is a guess")
    else:
        dropped.append(f"{weights}: the stage starts from the run of {found[0].stem}, which is to be converted too")
        others = [other.stem for other in found[1:] if cfl.rules(other) == cfl.rules(found[0])]
        if others:
            dropped[-1] += f" (with the same log_dir there: {', '.join(others)})"
        if cfl.rules(found[0]):
            dropped.append("a stage 2 of CFL that starts from the plain stage 1: it starts from the CFL one")
    name = {"name": "feature" if head is None else "meta_embedding", **({"new": children} if children else {})}
    return {"stage": name if children else name["name"], "init_from": found[0].stem if found else "stage_1"}


def _data(data: Mapping[str, Any]) -> Any:
    name = DATA_SETS.get((data["list_name"], data["num_classes"]))
    if name is None:
        return data
    return {"name": name, **({"lists": data["lists"]} if "lists" in data else {})}


def _backbone(backbone: Mapping[str, Any], dropped: list[str]) -> dict[str, Any]:
    options = {key: value for key, value in backbone.items() if key not in ("name", "architecture", "fc")}
    if "file" in backbone:
        return dict(backbone)
    if "architecture" in backbone:
        dropped.append("an attention that starts at random: it starts as the identity, as its own file meant it to")
        options = {"attention": True, **({"fc": True} if backbone["fc"] else {}), **options}
    elif backbone["fc"]:
        options = {"fc": True, **options}
    return {"name": backbone.get("architecture", backbone["name"]), **options}


def _network(network: Mapping[str, Any], key: str, dropped: list[str]) -> dict[str, Any]:
    if network.get("rest", True):
        return dict(network)
    dropped.append(f"BatchNorm statistics of the frozen {key} that move on: what is frozen rests")
    return {name: value for name, value in network.items() if name != "rest"}


def _loss(loss: Mapping[str, Any], dropped: list[str]) -> Any:
    plain = {key: value for key, value in loss.items() if key != "weight" or value != 1}
    if isinstance(plain.get("eta"), Mapping):
        cycle = plain.pop("eta")
        dropped.append(
            f"the cycle over the loss's own {cycle['epochs']} epochs, counted from 1, which leaves [0, 1]: it spans "
            "the stage from its first epoch to its last"
        )
        plain["factor"] = cycle["factor"]
    return plain["name"] if len(plain) == 1 else plain


def _settings(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The optimizer with what its groups share, and the groups with what they do not."""
    groups = {key: plain[key]["optim"] for key in ("backbone", "classifier", "memory") if plain.get(key)}
    training = [optim for optim in groups.values() if optim["lr"] != 0]
    shared = {
        name: training[0][name]
        for name in ("momentum", "weight_decay")
        if all(optim[name] == training[0][name] for optim in training)
    }
    optims = {
        key: {name: value for name, value in optim.items() if name not in shared}
        if optim in training
        else {"lr": optim["lr"]}
        for key, optim in groups.items()
    }
    return {
        "optimizer": {**plain["optimizer"], **shared},
        **{key: {**plain[key], "optim": optim} for key, optim in optims.items()},
    }


def _comments(path: Path, dropped: list[str], kept: list[str]) -> str:
    lines = [f"Converted from {path.name}, a published config."]
    for title, items in (("It leaves behind:", dropped), ("To be known:", kept)):
        if items:
            lines += ["", title, *(f"- {item}" for item in items)]
    wrapped = [textwrap.wrap(line, 108, subsequent_indent="  " * line.startswith("- ")) or [""] for line in lines]
    return "".join(f"# {line}".rstrip() + "\n" for block in wrapped for line in block)
