"""The rows that the original is measured in: what each side makes, in which sizes, and what was to be reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oltr.stage_config import EvaluationConfig

HALF = {"half": True}
HALF_TOLERANCE = 2e-2


@dataclass(frozen=True, kw_only=True)
class ReferenceRow:
    """A line of the table: the original beside one or more ways of ours."""

    name: str
    what: str
    """With the sizes in braces."""
    make: str
    """The function of that name in ``reference_theirs`` and ``reference_ours``."""
    full: Mapping[str, int]
    tiny: Mapping[str, int]
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of both sides."""
    ours: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"ours": {}})
    """Ways of ours by name, and the options of each."""
    to_reach: Mapping[str, float] = field(default_factory=dict)
    """How many times as fast as the original each way is meant to be."""
    per: str | None = None
    width: int = 0
    """Of the JPEG files that the row reads, 0 where it reads none."""
    threads: int = 2
    memory: bool = False
    forked: bool = False
    """Whether it is the fork's (CFL)."""
    tolerance: float = 1e-4
    """Of the numbers that both sides must have alike, as a share of each; of ways in half precision HALF_TOLERANCE."""

    def tolerance_of(self, way: str) -> float:
        return HALF_TOLERANCE if self.ours.get(way, {}).get("half") else self.tolerance


IMAGENET = {"config": "ImageNet_LT/stage_1", "depth": 10, "side": 224, "workers": 2}
IMAGENET_2 = {**IMAGENET, "config": "ImageNet_LT/stage_2_meta_embedding"}
PLACES = {"config": "Places_LT/stage_1", "side": 224}
PLACES_2 = {"config": "Places_LT/stage_2_meta_embedding", "side": 224}
END_TO_END = {"images": 256, "batch": 128}
FEW = {"images": 4, "batch": 2}
DEEP, SHALLOW = {"depth": 152, "batch": 16}, {"depth": 10, "batch": 2}
PRELOADED = {"preload": True}

ROWS = (
    *(
        ReferenceRow(
            name=name,
            what="stage 1, ResNet-10 at 224, batch {batch}, {images} JPEG files of 500 x 375, end to end",
            make="training",
            full=END_TO_END,
            tiny=FEW,
            options=IMAGENET,
            ours=ways,
            to_reach=wanted,
            per="images",
            width=500,
        )
        for name, ways, wanted in (  # two rows, since each process keeps its memory while the others have their turn
            (
                "stage_1",
                {
                    "ours": HALF,
                    "ours, from the image cache": {**HALF, "cache": True},
                    "ours, batch in memory": {**HALF, "memory": True},
                    "ours, preloaded": {**HALF, **PRELOADED},
                },
                {"ours": 2.9, "ours, preloaded": 3.5},
            ),
            (
                "stage_1_float32",
                {"ours, float32": {}, "ours, float32, preloaded": PRELOADED},
                {"ours, float32, preloaded": 1.8},
            ),
        )
    ),
    ReferenceRow(
        name="stage_2",
        what="stage 2, ResNet-10 at 224 with attention, meta-embedding and centroid loss, batch {batch}, end to end",
        make="training",
        full=END_TO_END,
        tiny=FEW,
        options=IMAGENET_2,
        ours={"ours": HALF, "ours, float32": {}, "ours, preloaded": {**HALF, **PRELOADED}},
        to_reach={"ours, preloaded": 3.4},
        per="images",
        width=500,
    ),
    ReferenceRow(
        name="resnet152_step",
        what="a training step of ResNet-{depth} at 224, batch {batch}, in memory",
        make="training_step",
        full=DEEP,
        tiny=SHALLOW,
        options=PLACES,
        ours={"ours": HALF, "ours, float32": {}, "ours, preloaded": {**HALF, **PRELOADED}},
        to_reach={"ours, preloaded": 2.8},
        per="batch",
    ),
    ReferenceRow(
        name="places_stage_2_step",
        what="a step of stage 2 on a frozen ResNet-{depth} with trainable attention, batch {batch}, in memory",
        make="training_step",
        full=DEEP,
        tiny=SHALLOW,
        options={**PLACES_2, "only": ["modulatedatt", "fc_add"]},
        ours={"ours": HALF, "ours, preloaded": {**HALF, **PRELOADED}},
        to_reach={"ours, preloaded": 3.4},
        per="batch",
    ),
    ReferenceRow(
        name="places_stage_2_cached",
        what="the same step, batch {batch}, the frozen part's maps from the feature cache",
        make="training_step",
        full={**DEEP, "batch": 32},
        tiny=SHALLOW,
        options={**PLACES_2, "only": ["modulatedatt", "fc_add"]},
        ours={"ours": {**HALF, "cached": True}, "ours, float32": {"cached": True}},
        to_reach={"ours": 60.0},
        per="batch",
    ),
    *(
        ReferenceRow(
            name=f"head_{classes}",
            what="stage-2 classifier and centroid loss, {classes:,} classes, {feature_dim} features, batch {batch}",
            make="head",
            full={"classes": classes, "feature_dim": 512, "batch": 128},
            tiny={"classes": 7, "feature_dim": 6, "batch": 5},
            ours={"ours": HALF, "ours, float32": {}},
            to_reach={"ours": wanted, "ours, float32": wanted},
            memory=True,
            tolerance=1e-3,
        )
        for classes, wanted in ((365, 20.0), (1000, 25.0), (8142, 40.0))
    ),
    *(
        ReferenceRow(
            name=f"jpeg_{width}",
            what=f"{{images}} JPEG files of {size} to training images, one core",
            make="reading",
            full={"images": 128, "batch": 128},
            tiny={"images": 4, "batch": 4},
            options={**IMAGENET, "workers": 0},
            ours={"ours": {}, **more},
            to_reach={"ours": wanted, **dict.fromkeys(more, 13.0)},
            per="images",
            width=width,
            threads=1,
        )
        for width, size, wanted, more in (
            (
                *(500, "500 x 375", 2.1),
                {
                    "ours, from the image cache": {"cache": True},
                    "ours, from the image cache, compiled": {"cache": True, "compiled": True},
                },
            ),
            (256, "256 x 256", 3.8, {}),
        )
    ),
    ReferenceRow(
        name="validation",
        what="validation pass of ResNet-10, {images} JPEG files of 500 x 375, end to end",
        make="validation",
        full=END_TO_END,
        tiny=FEW,
        options=IMAGENET,
        ours={"ours": HALF, "ours, float32": {}, "ours, preloaded": {**HALF, **PRELOADED}},
        to_reach={"ours, preloaded": 3.4},
        per="images",
        width=500,
    ),
    ReferenceRow(
        name="bookkeeping",
        what="{images:,} x {classes:,} logits collected and all closed-set metrics",
        make="bookkeeping",
        full={"images": 50_000, "classes": 1000, "batch": 128},
        tiny={"images": 60, "classes": 6, "batch": 7},
        to_reach={"ours": 100.0},
    ),
    ReferenceRow(
        name="class_means",
        what="mean feature of each class: {images:,} x {feature_dim}, {classes:,} classes, in each side's own batches",
        make="class_means",
        full={"images": 115_845, "classes": 1000, "feature_dim": 512, "batch": 128},
        tiny={"images": 50, "classes": 4, "feature_dim": 3, "batch": 8},
        ours={"ours": {"batch": EvaluationConfig().batch_size}},
        to_reach={"ours": 15.0},
        tolerance=1e-3,
    ),
    ReferenceRow(
        name="class_aware_sampler",
        what="{draws:,} class-aware draws from {images:,} images of {classes:,} classes",
        make="class_aware",
        full={"images": 115_846, "classes": 1000, "per_class": 4, "draws": 1_280_000},
        tiny={"images": 23, "classes": 5, "per_class": 4, "draws": 120},
        to_reach={"ours": 13.0},
        tolerance=0.0,
    ),
    ReferenceRow(
        name="cyclical_focal",
        what="cyclical focal loss, forward and backward, {batch:,} x {classes:,}",
        make="focal",
        full={"batch": 1024, "classes": 1000},
        tiny={"batch": 4, "classes": 7},
        ours={"ours": {}, "ours, compiled": {"compile": True}},
        to_reach={"ours": 6.0, "ours, compiled": 12.0},
        threads=1,
        forked=True,
    ),
    *(
        ReferenceRow(
            name=f"checkpoint_{what}",
            what=f"checkpoint of ResNet-{{depth}}, stage 2: {what}",
            make=f"checkpoint_{what}",
            full={"depth": 152, "batch": 1},
            tiny={"depth": 10, "batch": 1},
            options=PLACES_2,
            ours={"ours": {}, **more},
        )
        for what, more in (("save", {"ours, what training waits for": {"beside": True}}), ("load", {}))
    ),
    ReferenceRow(name="help", what="`python main.py --help`, the whole process", make="help_text", full={}, tiny={}),
)
