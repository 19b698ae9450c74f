"""A stage built on stand-in data: what a config says wrong shows without a file of the data set."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from oltr import plugins
from oltr.contracts import UserError
from oltr.data.split import Splits
from oltr.evaluation_parts import thresholds_of
from oltr.experiment import Experiment
from oltr.networks.pair import NetworkPair
from oltr.options import OptionError
from oltr.stage_config import StageConfig

STAND_INS = (
    (10, 32, None),
    (10, 28, Path("no-data")),
    (100, 32, None),
    (200, 64, None),
    (365, 256, None),
    (1000, 224, None),
)
"""Number of classes, side of the images, and data root of each stand-in: of the kinds that there are."""


def rehearse(config: StageConfig, place: str) -> None:
    """Build every part that can be built without data; UserError for a mistake that is one on any data.

    An error counts only where it is the same on all stand-ins, so that one that comes of them is no false alarm. Files
    that a run would start from may not be there yet; they are not read, but for those that a part's constructor reads.
    """
    config = replace(config, initial_weights=None, cache=None)
    first = _rehearsal(config, place, *STAND_INS[0])
    for key, build in STEPS.items():
        error = _error(first, key, build)
        if error and all(_error(_rehearsal(config, place, *other), key, build) == error for other in STAND_INS[1:]):
            raise UserError(error)


class _Images:
    """Images without content, a few of each class and more of the first ones."""

    def __init__(self, *, num_classes: int, side: int) -> None:
        counts = [max(3, 24 - label) for label in range(num_classes)]
        self.labels = np.repeat(np.arange(num_classes, dtype=np.int64), counts)
        self.ids: Sequence[str] = [str(index) for index in range(len(self.labels))]
        self._side = side

    def read(self, indices: Sequence[int]) -> list[Tensor]:
        return [torch.zeros(3, self._side, self._side, dtype=torch.uint8, device="cpu") for _ in indices]


@dataclass(frozen=True, kw_only=True)
class _Rehearsal(Experiment):
    """A stage's objects on stand-in data; its network has shapes and no numbers, wherever it can be built so."""

    num_classes: int
    side: int

    @cached_property
    def splits(self) -> Splits:
        images = _Images(num_classes=self.num_classes, side=self.side)
        names = tuple(f"class {label}" for label in range(self.num_classes))
        return Splits(train=images, val=images, test=images, open=None, class_names=names)

    @cached_property
    def pair(self) -> NetworkPair:
        try:
            with torch.device("meta"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # weights that are loaded into shapes are lost, which is no matter here
                return super().pair
        except Exception:  # of the config's, or of a network that needs numbers as it is built: this tells which
            return super().pair

    def data(self) -> None:
        self._build(plugins.DATASETS, "data", self.config.data, root=self.data_root)

    def transforms(self) -> None:
        self._transform("train_transform")
        self._transform("test_transform")

    def stage(self) -> None:
        self._build(plugins.STAGES, "stage", self.config.stage)

    def clip_norm(self) -> None:
        plugins.SCHEDULES.scalar(self.config.clip_norm)


STEPS: dict[str, Callable[[_Rehearsal], Any]] = {
    "data": _Rehearsal.data,
    "transforms": _Rehearsal.transforms,
    "stage": _Rehearsal.stage,
    "network": lambda rehearsal: rehearsal.pair,
    "optimizer": _Rehearsal.optimizer,
    "losses": _Rehearsal.losses,
    "clip_norm": _Rehearsal.clip_norm,
    "sampler": _Rehearsal.sampler,
    "evaluation.scorers": _Rehearsal.scorers,
    "evaluation.thresholds": lambda rehearsal: thresholds_of(rehearsal.config),
}
"""What is built, in this order, and its key where the error tells none."""


def _rehearsal(config: StageConfig, place: str, num_classes: int, side: int, root: Path | None) -> _Rehearsal:
    return _Rehearsal(
        config=config,
        place=place,
        device=torch.device("meta"),
        data_root=root,
        cache_folder=Path(),
        num_classes=num_classes,
        side=side,
    )


def _error(rehearsal: _Rehearsal, key: str, build: Callable[[_Rehearsal], Any]) -> str | None:
    """What the user would be told in a run, if anything; errors of another kind are left to it."""
    try:
        build(rehearsal)
    except (UserError, OptionError) as error:
        told, place = str(error), f"{rehearsal.place}: "
        return told if told.startswith(place) else f"{place}{key}: {told}"
    except Exception:
        return None
    return None
