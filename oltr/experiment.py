"""A config made into objects: data, network pair, losses, optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from oltr import plugins
from oltr.contracts import Outputs, Progress, Sampler, Scalar, Scorer, Start, Transform, UserError, at
from oltr.data.batches import Batches
from oltr.data.cache import cached
from oltr.data.split import ImageSet, Splits
from oltr.metrics.shots import shot_rule
from oltr.networks.class_means import class_means
from oltr.networks.pair import Memory, NetworkPair
from oltr.options import OptionError, is_schedule
from oltr.parallel import forward_on
from oltr.stage_config import StageConfig
from oltr.training import WeightedLoss


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One stage's objects, each built when it is first asked for."""

    config: StageConfig
    place: str
    device: torch.device
    data_root: Path | None
    cache_folder: Path

    @cached_property
    def splits(self) -> Splits:
        data = self._build(plugins.DATASETS, "data", self.config.data, root=self.data_root)
        splits = cast(Splits, data.splits())
        if self.config.cache is None:
            return splits
        size = self.config.cache.image_size
        return cached(splits, folder=self.cache_folder, image_size=size, workers=self.config.workers)

    @cached_property
    def test_transform(self) -> Transform:
        return cast(Transform, self._build(plugins.TRANSFORMS, "test_transform", self.config.test_transform))

    @cached_property
    def pair(self) -> NetworkPair:
        """The network with fresh weights, drawn from the run's seed."""
        torch.manual_seed(self.config.seed)
        sample = self.test_transform.image(self.splits.train.read([0])[0])
        backbone = self._build(plugins.BACKBONES, "backbone", self.config.backbone, image_size=int(sample.shape[-1]))
        feature_dim = getattr(backbone, "feature_dim", None)
        if not isinstance(feature_dim, int):
            raise UserError(f"{self.place}: backbone: {self.config.backbone.name!r} does not tell its feature_dim")
        num_classes = self.splits.num_classes
        classifier = self._build(
            plugins.CLASSIFIERS, "classifier", self.config.classifier, feature_dim=feature_dim, num_classes=num_classes
        )
        memory = Memory(num_classes=num_classes, feature_dim=feature_dim) if self.config.memory is not None else None
        pair = NetworkPair(backbone, classifier, memory)
        for name, part in (("backbone", self.config.backbone), ("classifier", self.config.classifier)):
            if part.only is not None:
                try:
                    pair.train_only(name, part.only)
                except UserError as error:
                    raise UserError(f"{self.place}: {error}") from error
        return pair.to(self.device)

    @property
    def feature_dim(self) -> int:
        return int(self.pair.backbone.feature_dim)  # type: ignore[arg-type]

    def losses(self) -> list[WeightedLoss]:
        given = {
            "feature_dim": self.feature_dim,
            "num_classes": self.splits.num_classes,
            "train_counts": self.splits.train_counts,
        }
        return [
            WeightedLoss(
                name=loss.name,
                loss=self._build(plugins.LOSSES, f"losses.{index}", loss, **given),
                weight=plugins.LOSSES.scalar(loss.weight),
            )
            for index, loss in enumerate(self.config.losses)
        ]

    @cached_property
    def trained(self) -> dict[str, tuple[list[torch.nn.Parameter], dict[str, Any]]]:
        """Of each part that trains: its parameters, and the optimizer's settings for them."""
        memory = {} if self.config.memory is None else self.config.memory.optim
        optims = {"backbone": self.config.backbone.optim, "classifier": self.config.classifier.optim, "memory": memory}
        found = {}
        for name, optim in optims.items():
            module = getattr(self.pair, name)
            parameters = [] if module is None else [item for item in module.parameters() if item.requires_grad]
            if parameters:
                found[name] = (parameters, {**self.config.optimizer.options, **optim})
        if not found:
            raise UserError(f"{self.place}: nothing trains: every parameter is frozen by `only`")
        return found

    @property
    def group_names(self) -> list[str]:
        return list(self.trained)

    def optimizer(self) -> tuple[torch.optim.Optimizer, list[dict[str, Scalar]]]:
        """One parameter group for each trained part, and the scalars of each group, which may be schedules."""
        groups, settings = [], []
        for parameters, chosen in self.trained.values():
            settings.append(_scalars(chosen))
            groups.append({"params": parameters, **chosen, **_at_start(settings[-1])})
        shared = self.config.optimizer.options
        shared = {**shared, **_at_start(_scalars(shared))}
        try:
            return plugins.OPTIMIZERS.build(self.config.optimizer.name, shared, params=groups), settings
        except (OptionError, ValueError, TypeError) as error:
            raise UserError(f"{self.place}: optimizer: {error}") from error

    def sampler(self) -> Sampler:
        labels = torch.from_numpy(np.ascontiguousarray(self.splits.train.labels))
        return cast(
            Sampler,
            self._build(
                plugins.SAMPLERS,
                "sampler",
                self.config.sampler,
                labels=labels,
                num_classes=self.splits.num_classes,
                generator=torch.Generator().manual_seed(self.config.seed),
            ),
        )

    def train_batches(self) -> Batches:
        transform = self._build(plugins.TRANSFORMS, "train_transform", self.config.train_transform)
        return self._batches(self.splits.train, transform, self.config.batch_size)

    def test_batches(self, images: ImageSet) -> Batches:
        return self._batches(images, self.test_transform, self.config.evaluation.batch_size)

    def scorers(self) -> dict[str, Scorer]:
        return scorers_of(self.config, self.splits.num_classes, self.splits.train_counts)

    def rehearse(self) -> None:
        """Build everything that the run will build: what the user got wrong shows before anything is done."""
        shot_rule(**self.config.evaluation.shots).groups(self.splits.train_counts)
        self.optimizer()
        self.losses()
        self.sampler()
        self.train_batches()
        self.scorers()

    def prepare(self, state: Mapping[str, Tensor] | None) -> None:
        """Let the stage set the pair's weights from those of the stage before."""
        stage = self._build(plugins.STAGES, "stage", self.config.stage)
        try:
            stage.prepare(self.pair, Start(state=state, class_means=self.class_means))
        except UserError as error:
            raise UserError(f"{self.place}: stage: {error}") from error

    def class_means(self) -> Tensor:
        """Mean features of the plain training set by the network as it is, [C, D]."""
        passed = self.passes(self.splits.train, "class means")
        return class_means(((outputs.features, labels) for outputs, labels, _ in passed), self.splits.num_classes)

    def passes(self, images: ImageSet, what: str) -> Iterator[tuple[Outputs, Tensor, Tensor]]:
        """Outputs, labels and indices of one pass in order, without gradients and with the network at rest."""
        self.pair.eval()
        forward = forward_on(self.pair, self.device)
        batches = self.test_batches(images)
        order = torch.arange(len(images.labels))
        total = batches.steps(len(order), drop_last=False)
        with torch.inference_mode():
            epoch = batches.epoch(order, epoch=0, drop_last=False)
            for inputs, labels, indices in tqdm(epoch, total=total, desc=what, leave=False, disable=None):
                yield forward(inputs), labels, indices

    def val_predictions(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Labels and predicted classes of the validation set."""
        found = [
            (labels.cpu(), outputs.logits.argmax(1).cpu()) for outputs, labels, _ in self.passes(self.splits.val, "val")
        ]
        labels, predictions = (torch.cat(column).numpy() for column in zip(*found, strict=True))
        return labels, predictions

    def _batches(self, images: ImageSet, transform: Transform, batch_size: int) -> Batches:
        return Batches(
            image_set=images,
            transform=transform,
            batch_size=batch_size,
            seed=self.config.seed,
            device=self.device,
            workers=self.config.workers,
        )

    def _build(self, kind: plugins.Kind, key: str, part: Any, **given: Any) -> Any:
        try:
            return kind.build(part.name, part.options, **given)
        except (OptionError, UserError) as error:
            raise UserError(f"{self.place}: {key}: {error}") from error


def scorers_of(config: StageConfig, num_classes: int, train_counts: NDArray[np.int64]) -> dict[str, Scorer]:
    """The config's scorers by name; they need no network."""
    return {
        scorer.name: plugins.SCORERS.build(
            scorer.name, scorer.options, num_classes=num_classes, train_counts=train_counts
        )
        for scorer in config.evaluation.scorers
    }


def _scalars(settings: Mapping[str, Any]) -> dict[str, Scalar]:
    """Those settings of an optimizer that are numbers or schedules, schedules built."""
    return {
        key: plugins.OPTIMIZERS.scalar(value)
        for key, value in settings.items()
        if is_schedule(value) or (isinstance(value, int | float) and not isinstance(value, bool))
    }


def _at_start(scalars: Mapping[str, Scalar]) -> dict[str, float]:
    return {key: at(scalar, Progress(epoch=0, epochs=1)) for key, scalar in scalars.items()}
