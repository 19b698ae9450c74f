"""The networks of a published config as our backbone and classifier. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oltr.published.config_file import Keys
from oltr.published.named_file import MemoryUse, NamedFile, demand_sizes, step_schedule
from oltr.published.positional import REQUIRED, Maker

STAGE_1 = "./logs/{}/stage1/final_model_checkpoint.pth"
CAFFE = "./logs/caffe_resnet152.pth"
"""Where the published code looks for the weights that a stage starts from."""

_RESNET = {"use_modulatedatt": False, "use_fc": False, "dropout": None, "stage1_weights": False, "dataset": None}
_HEAD = {"num_classes": 1000, "stage1_weights": False, "dataset": None, "test": False}
BACKBONES = {
    "models/ResNet10Feature.py": ("resnet10", 512, Maker({**_RESNET, "test": False}, takes_more=True)),
    "models/ResNet152Feature.py": ("resnet152", 2048, Maker({**_RESNET, "caffe": False, "test": False})),
}
"""Of each published backbone: ours, its width without fc_add, and its parameters."""

CLASSIFIERS = {
    "models/DotProductClassifier.py": ("dot_product", Maker({"feat_dim": REQUIRED, **_HEAD}, takes_more=True)),
    "models/MetaEmbeddingClassifier.py": ("meta_embedding", Maker({"feat_dim": 2048, **_HEAD}, takes_more=True)),
    "models/CosNormClassifier.py": ("cosine", Maker({"feat_dim": 512, "num_classes": 1000, "test": False})),
}
TRAINED_WHEN_FIXED = {"dot_product": None, "meta_embedding": ["fc_hallucinator", "fc_selector"], "cosine": []}
"""The children of a classifier whose names the published ``fix`` leaves trainable; None for all."""


def backbone_of(named: NamedFile, training: Keys, notes: list[str]) -> tuple[dict[str, Any], int, dict[str, Any]]:
    """The backbone, its width, and what the stage loads into it."""
    section, name = named.section, named.published
    fix, optim = bool(section.value("fix", False)), {"optim": step_schedule(section.section("optim_params"), training)}
    if name not in BACKBONES:
        width = training.whole("feature_dim", low=1)
        own = named.wrapped("networks:Backbone", "params", notes)
        return {**own, "feature_dim": width, "fix": fix, **optim}, width, {}
    architecture, wide, maker = BACKBONES[name]
    params = section.section("params")
    values = maker.bind(params, notes, False)
    attention, fc = bool(values["use_modulatedatt"]), bool(values["use_fc"])
    if values["dropout"]:
        notes.append(f"{params.at('dropout')} has no effect: the published networks ignore it")
    backbone: dict[str, Any] = {"name": architecture, "fc": fc}
    if attention:
        backbone = {"name": "oltr.published.networks:attentive", "architecture": architecture, "fc": fc}
    if fix:
        backbone["only"] = [child for child, there in (("modulatedatt", attention), ("fc_add", fc)) if there]
        backbone["rest"] = False
    width = 512 if fc else wide
    if training.whole("feature_dim", width) != width:
        raise training.error("feature_dim", f"{training.value('feature_dim')}, but {name} has {width} features here")
    return {**backbone, **optim}, width, _start(params, values, notes)


def _start(params: Keys, values: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """The weights that the published backbone loads, if it does."""
    stage_1, caffe = bool(values["stage1_weights"]), bool(values.get("caffe"))
    if stage_1 and caffe:
        raise params.error("stage1_weights", "a network starts from these or from caffe weights, not from both")
    if "caffe" in values and not stage_1 and not caffe:
        notes.append(
            f"{params.at('caffe')}: it starts from random weights; the published code stops with an error here"
        )
    if values["test"] or not (stage_1 or caffe):
        return {}
    return {"backbone_weights": CAFFE if caffe else stage_1_weights(params, values), "caffe": caffe}


def stage_1_weights(params: Keys, values: Mapping[str, Any]) -> str:
    """The checkpoint of the first stage, by the name of the data set."""
    if not isinstance(values["dataset"], str) or not values["dataset"]:
        raise params.error("dataset", "stage1_weights are looked for by the name of the data set, which is not given")
    return STAGE_1.format(values["dataset"])


def classifier_of(
    named: NamedFile, training: Keys, memory: MemoryUse, width: int, notes: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The classifier, and what the stage loads into it."""
    section, name = named.section, named.published
    fix, optim = bool(section.value("fix", False)), {"optim": step_schedule(section.section("optim_params"), training)}
    if name not in CLASSIFIERS:
        part = "MemoryClassifier" if memory.read else "Classifier"
        return {**named.wrapped(f"networks:{part}", "params", notes), "fix": fix, **optim}, {}
    classifier, maker = CLASSIFIERS[name]
    params = section.section("params")
    values = maker.bind(params, notes, False)
    demand_sizes(params, values, training, width)
    if classifier == "cosine":
        notes.append(
            f"{named.at}: the published code stops with an error at this classifier; here it runs, at scale 16"
        )
    if classifier == "meta_embedding" and not memory.read:
        raise named.error("it reads class centroids: set memory's centroids to True, and have a FeatureLoss")
    only = TRAINED_WHEN_FIXED[classifier] if fix else None
    found = {"name": classifier, **({} if only is None else {"only": only, "rest": False}), **optim}
    if values["test"] or not values.get("stage1_weights"):
        return found, {}
    return found, {"classifier_weights": stage_1_weights(params, values)}
