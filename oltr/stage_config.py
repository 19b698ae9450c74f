"""What a stage's config is made of: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oltr import plugins
from oltr.plugins import Kind


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part by name, with its options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NetworkPart(Part):
    """A part that is trained: what its parameter group overrides, and which of its children train if not all.

    Frozen children ``rest``: BatchNorm keeps its statistics. Where they do not, only their weights are frozen.
    """

    optim: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] | None = None
    rest: bool = True


@dataclass(frozen=True, kw_only=True)
class LossPart(Part):
    """A loss and its weight in the sum: a number or a schedule."""

    weight: Any = 1.0


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """The class centroids: present, with these settings of their parameter group."""

    optim: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CacheConfig:
    """Decode and resize the images once; ``image_size`` null keeps the size they have.

    With ``scaled_decode`` the decoder scales large JPEG files down on the way, as far as ``image_size`` allows.
    """

    image_size: int | None = None
    scaled_decode: bool = False


@dataclass(frozen=True, kw_only=True)
class FeatureCacheConfig:
    """Compute what the frozen backbone makes of the images once, and train on that.

    Of the training images so many ``views`` are kept as the training transform shows them. ``precision`` is that of
    the file; "auto" is the one in which the backbone computes, so that nothing is lost.
    """

    views: int = 1
    precision: str = "auto"


COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
GRAPH_MODES = ("reduce-overhead", "max-autotune")
"""Of torch.compile's modes those that replay CUDA graphs, whose memory is used again at each step."""


@dataclass(frozen=True, kw_only=True)
class ComputeConfig:
    """How the arithmetic is done: what a result owes to it is rounding, and where said so, batch statistics.

    ``precision`` is that of the backbone, and of the classifier in training: "auto" is bfloat16 on a GPU made for it,
    float32 elsewhere. Maps lie ``channels_last`` in memory. ``compile`` the backbone as torch does by default, or in
    one of torch's modes by name; beside it each loss, and the training transform's arithmetic. A batch is worked on in
    ``accumulate`` parts. ``sync_batchnorm`` takes batch statistics over all processes of a run under torchrun.
    """

    precision: str = "float32"
    channels_last: bool = True
    compile: bool | str = False
    compile_losses: bool = False
    compile_transform: bool = False
    accumulate: int = 1
    sync_batchnorm: bool = True


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How the report is computed from the stored predictions.

    ``train`` says whether these hold the training images too, for scorers that are fitted on them; null is yes where
    the config names such a scorer.
    """

    scorers: tuple[Part, ...] = ()
    thresholds: tuple[Part, ...] = ()
    shots: Mapping[str, Any] = field(default_factory=dict)
    train: bool | None = None
    batch_size: int = 256


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """One stage, whole: everything that its result depends on but the data's root and the device."""

    stage: Part
    data: Part
    train_transform: Part
    test_transform: Part
    sampler: Part
    backbone: NetworkPart
    classifier: NetworkPart
    losses: tuple[LossPart, ...]
    optimizer: Part
    epochs: int
    batch_size: int
    init_from: str | None = None
    initial_weights: str | None = None
    cache: CacheConfig | None = None
    feature_cache: FeatureCacheConfig | None = None
    memory: MemoryConfig | None = None
    clip_norm: Any = None
    keep: str = "best"
    evaluation: EvaluationConfig = EvaluationConfig()
    compute: ComputeConfig = ComputeConfig()
    test_selected: bool = False
    """That something here was chosen on the test set, as the user owns up to; leaderboards refuse such a run."""
    workers: int | None = None
    """Processes that read images; None is as many as help (oltr/loading.py)."""
    seed: int = 0


PART_FIELDS: dict[str, Kind] = {
    "stage": plugins.STAGES,
    "data": plugins.DATASETS,
    "train_transform": plugins.TRANSFORMS,
    "test_transform": plugins.TRANSFORMS,
    "sampler": plugins.SAMPLERS,
    "backbone": plugins.BACKBONES,
    "classifier": plugins.CLASSIFIERS,
    "optimizer": plugins.OPTIMIZERS,
}
"""The keys that hold one part each, and the kind of it."""
