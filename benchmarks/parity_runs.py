"""The four stages that both programs train, as configs in the published form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.parity_data import EPOCHS, NAME, ORDERS, TRAIN, WEIGHTS

PRECISIONS = ("float64", "float32")
"""Of the arithmetic: float64 tells formulas apart, float32 is what users run."""
WIDTH = 512
NEW_IN_STAGE_2 = ("modulatedatt", "fc_add", "fc_selector", "cosnorm_classifier")
"""The children that the second stage does not take over from the first."""


@dataclass(frozen=True, kw_only=True)
class ParityRun:
    """One stage: its config below ``config/ImageNet_LT``, where it writes, and what it asks of the command line."""

    name: str
    content: Mapping[str, Any]
    logs: str
    options: Mapping[str, float] = field(default_factory=dict)
    forked: bool = False
    """Whether it is the fork's (CFL) and needs its files."""

    @property
    def second(self) -> bool:
        return bool(self.content["memory"]["centroids"])

    @property
    def config(self) -> Path:
        return Path("config") / NAME / f"{self.name}.py"

    @property
    def order(self) -> str:
        return ORDERS["stage_2" if self.second else "stage_1"]

    @property
    def weights(self) -> str:
        return WEIGHTS["stage_2" if self.second else "stage_1"]


def _config(*, log_dir: str, second: bool, loss: Mapping[str, Any], threshold: float) -> dict[str, Any]:
    start = {"stage1_weights": second, "dataset": NAME}
    criterions = {"PerformanceLoss": {**loss, "optim_params": None, "weight": 1.0}}
    if second:
        criterions["FeatureLoss"] = {
            "def_file": "./loss/DiscCentroidsLoss.py",
            "loss_params": {"feat_dim": WIDTH, "num_classes": len(TRAIN)},
            "optim_params": _sgd(0.05),
            "weight": 0.01,
        }
    return {
        "training_opt": _training(log_dir, second, threshold),
        "networks": {
            "feat_model": {
                "def_file": "./models/ResNet10Feature.py",
                "params": {"use_modulatedatt": second, "use_fc": second, "dropout": None, **start},
                "optim_params": _sgd(0.003),
                "fix": False,
            },
            "classifier": {
                "def_file": f"./models/{'MetaEmbedding' if second else 'DotProduct'}Classifier.py",
                "params": {"in_dim": WIDTH, "num_classes": len(TRAIN), **start},
                "optim_params": _sgd(0.004),
            },
        },
        "criterions": criterions,
        "memory": {"centroids": second, "init_centroids": second},
    }


def _training(log_dir: str, second: bool, threshold: float) -> dict[str, Any]:
    sampler = {"type": "ClassAwareSampler", "def_file": "./data/ClassAwareSampler.py", "num_samples_cls": 4}
    return {
        "dataset": NAME,
        "log_dir": f"./logs/{NAME}/{log_dir}",
        "num_classes": len(TRAIN),
        "batch_size": 8,
        "num_workers": 0,
        "num_epochs": EPOCHS,
        "display_step": 10,
        "feature_dim": WIDTH,
        "open_threshold": threshold,  # each lies in a gap between the confidences of its run
        "sampler": sampler if second else None,
        "scheduler_params": {"step_size": 1, "gamma": 0.5},
    }


def _sgd(lr: float) -> dict[str, float]:
    return {"lr": lr, "momentum": 0.9, "weight_decay": 0.0005}


def _focal(epochs: int) -> dict[str, Any]:
    gammas = {"gamma_pos": 0, "gamma_neg": 4, "gamma_hc": 2}
    return {"def_file": "./loss/asl_focal_loss.py", "loss_params": {**gammas, "epochs": epochs, "factor": 4}}


SOFTMAX: dict[str, Any] = {"def_file": "./loss/SoftmaxLoss.py", "loss_params": {}}
RUNS = (
    ParityRun(
        name="stage_1",
        content=_config(log_dir="stage1", second=False, loss=SOFTMAX, threshold=0.465),
        logs="stage1",
    ),
    ParityRun(
        name="stage_2_meta_embedding",
        content=_config(log_dir="meta_embedding", second=True, loss=SOFTMAX, threshold=0.3325),
        logs="meta_embedding",
    ),
    ParityRun(
        name="stage_1_cfl",
        content=_config(log_dir="stage1", second=False, loss=_focal(6), threshold=0.522),
        logs="stage1_cfl_G204",
        forked=True,
    ),
    ParityRun(
        name="stage_2_cfl_meta_embedding",
        content=_config(log_dir="meta_embedding", second=True, loss=_focal(2), threshold=0.278),
        logs="meta_embedding_cfl_G204",
        options={"cyclical_factor": 4},
        forked=True,
    ),
)
"""In this order: both second stages start from the plain first one, as the fork's published code has it.

The fork's first stage takes the factor 2 of its command line, whatever its config says: eta is 0.6, then 0.2. In its
second the loss counts two epochs of its own, so that eta is 1, then 2.33.
"""
