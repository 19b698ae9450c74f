"""A config made into objects: data, network pair, losses, optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oltr import one_pass, plugins
from oltr.computing import Computing
from oltr.contracts import (
    NetworkScorer,
    Outputs,
    Progress,
    Sampler,
    Scalar,
    Scorer,
    Start,
    Transform,
    UserError,
    at,
)
from oltr.cores import usable_cores
from oltr.data.batches import Batches
from oltr.data.cache import cached
from oltr.data.split import ImageSet, Splits
from oltr.division import Division
from oltr.evaluation_parts import scorers_of, thresholds_of
from oltr.feature_cache import FeatureCache
from oltr.foreign.checkpoints import fill, read_checkpoint
from oltr.inference import Inference
from oltr.loading import workers_for
from oltr.metrics.shots import shot_rule
from oltr.networks.pair import Memory, NetworkPair
from oltr.options import OptionError, is_schedule
from oltr.processes import ALONE, Processes
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
    processes: Processes = ALONE

    @cached_property
    def splits(self) -> Splits:
        data = self._build(plugins.DATASETS, "data", self.config.data, root=self.data_root)
        splits = cast(Splits, data.splits())
        if (cache := self.config.cache) is None:
            return splits
        workers = self.config.workers
        return cached(
            splits,
            folder=self.cache_folder,
            image_size=cache.image_size,
            scaled_decode=cache.scaled_decode,
            workers=usable_cores() if workers is None else workers,  # nothing computes meanwhile
        )

    def same_splits(self) -> Splits:
        """The splits, read by one process after the other; UserError where they are not the same in all of them."""
        splits = self.processes.one_first(lambda: self.splits)
        checksums = self.processes.tell(splits.manifest.get("sha256"))
        if len(set(checksums)) > 1:
            shown = ", ".join(str(checksum)[:12] for checksum in checksums)
            raise UserError(f"{self.place}: data: the processes see other data (checksums {shown}): give all the same")
        return splits

    @cached_property
    def test_transform(self) -> Transform:
        return self._transform("test_transform")

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
                with self._naming():
                    pair.train_only(name, part.only, rest=part.rest)
        pair = pair.to(self.device)
        if self.config.initial_weights is not None:
            with self._naming("initial_weights"):
                fill(pair, read_checkpoint(Path(self.config.initial_weights)))
        with self._naming():
            self.computing.apply(pair)
            if self.config.feature_cache is not None:
                Division(pair, self.config.backbone.only or ())  # whether it can be cut where it must be
        return pair

    @property
    def computing(self) -> Computing:
        return Computing(wanted=self.config.compute, device=self.device, processes=self.processes)

    @property
    def feature_dim(self) -> int:
        return int(self.pair.backbone.feature_dim)  # type: ignore[arg-type]

    def losses(self) -> list[WeightedLoss]:
        given = {
            "feature_dim": self.feature_dim,
            "num_classes": self.splits.num_classes,
            "train_counts": self.splits.train_counts,
        }
        losses = []
        for index, part in enumerate(self.config.losses):
            loss = self._build(plugins.LOSSES, f"losses.{index}", part, **given)
            with self._naming():
                loss = self.computing.loss(loss)
            losses.append(WeightedLoss(name=part.name, loss=loss, weight=plugins.LOSSES.scalar(part.weight)))
        return losses

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
        name, choices = self.config.optimizer.name, [options for _, options in self.trained.values()]
        weights = [weight for parameters, _ in self.trained.values() for weight in parameters]
        try:
            fused = one_pass.option(plugins.OPTIMIZERS.load(name), self.device, choices, weights)
            made = plugins.OPTIMIZERS.build(name, {**fused, **shared, **_at_start(_scalars(shared))}, params=groups)
        except (OptionError, ValueError, TypeError) as error:
            raise UserError(f"{self.place}: optimizer: {error}") from error
        if isinstance(made, torch.optim.Optimizer):
            made.register_load_state_dict_post_hook(one_pass.lay_out)
        return made, settings

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
        with self._naming():
            self.computing.demand_shares(min(self.config.batch_size, len(self.splits.train.labels)))
        transform = self._transform("train_transform")
        return self._batches(self.splits.train, transform, self.config.batch_size, share=self.computing.share)

    def test_batches(self, images: ImageSet) -> Batches:
        return self._batches(images, self.test_transform, self.config.evaluation.batch_size)

    def batches_of(self, images: ImageSet, shown: str, batch_size: int) -> Batches:
        """A set as the transform under that key of the config shows it."""
        return self._batches(images, self._transform(shown), batch_size)

    @cached_property
    def feature_cache(self) -> FeatureCache | None:
        """What the frozen backbone makes of the images, where the config wants it kept."""
        wanted = self.config.feature_cache
        return None if wanted is None else FeatureCache(experiment=self, wanted=wanted)

    def scorers(self) -> dict[str, Scorer]:
        return scorers_of(self.config, self.splits.num_classes, self.splits.train_counts)

    def demand_compiler(self) -> None:
        """Raise UserError where training would want a compiler that is not there."""
        with self._naming():
            self.computing.demand_compiler()

    def rehearse(self, *, trains: bool = True) -> None:
        """Build everything that the run will build: what the user got wrong shows before anything is done."""
        if trains:
            self.demand_compiler()
        shot_rule(**self.config.evaluation.shots).groups(self.splits.train_counts)
        thresholds_of(self.config)
        self.optimizer()
        self.losses()
        self.sampler()
        self.train_batches()
        self.scorers()

    def prepare(self, state: Mapping[str, Tensor] | None) -> None:
        """Let the stage set the pair's weights from those of the stage before."""
        stage = self._build(plugins.STAGES, "stage", self.config.stage)
        with self._naming("stage"):
            source = self.config.init_from or "the stage before"
            stage.prepare(self.pair, Start(state=state, class_means=self._means_to_start, source=source))

    @property
    def inference(self) -> Inference:
        widths = (self.feature_dim, self.splits.num_classes)
        return Inference(pair=self.pair, device=self.device, processes=self.processes, widths=widths)

    def class_means(self) -> Tensor:
        """Mean features of the plain training set by the network as it is, [C, D]."""
        images = self.splits.train
        return self.inference.class_means(self.test_batches(images), images.labels)

    def _means_to_start(self) -> Tensor:
        """The same from cached features, where these are cached that it takes."""
        cached_means = None if self.feature_cache is None else self.feature_cache.class_means()
        return self.class_means() if cached_means is None else cached_means

    def passes(self, images: ImageSet, what: str) -> Iterator[tuple[Outputs, Tensor, Tensor]]:
        """Outputs, labels and indices of one pass in order, without gradients and with the network at rest."""
        return self.inference.outputs(self.test_batches(images), images.labels, what)

    def network_scores(self, images: ImageSet, scorer: NetworkScorer, what: str) -> Tensor:
        """What a scorer that runs the network gives each image, [N], in order."""
        return self.inference.scores(self.test_batches(images), len(images.labels), scorer, what)

    def val_predictions(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Labels and predicted classes of the validation set."""
        images = self.splits.val
        if self.feature_cache is not None:
            return images.labels, self.feature_cache.inference.predicted(self.feature_cache.val, images.labels, "val")
        return images.labels, self.inference.predicted(self.test_batches(images), images.labels, "val")

    def _batches(
        self, images: ImageSet, transform: Transform, batch_size: int, *, share: Callable[[int], Sequence[int]] = range
    ) -> Batches:
        return Batches(
            image_set=images,
            transform=transform,
            batch_size=batch_size,
            seed=self.config.seed,
            device=self.device,
            workers=self.workers(images),
            share=share,
        )

    def _transform(self, key: str) -> Transform:
        part = getattr(self.config, key)
        transform = cast(Transform, self._build(plugins.TRANSFORMS, key, part))
        if key == "train_transform":
            with self._naming():
                self.computing.compile_transform(transform, part.name)
        return transform

    def workers(self, images: ImageSet) -> int:
        """Processes that read ``images`` beside this one."""
        return workers_for(images, self.device) if self.config.workers is None else self.config.workers

    def _build(self, kind: plugins.Kind, key: str, part: Any, **given: Any) -> Any:
        with self._naming(key):
            return kind.build(part.name, part.options, **given)

    @contextmanager
    def _naming(self, *keys: str) -> Iterator[None]:
        """What the user got wrong within is told with the config's place and the key."""
        try:
            yield
        except (OptionError, UserError) as error:
            raise UserError(": ".join([self.place, *keys, str(error)])) from error


def _scalars(settings: Mapping[str, Any]) -> dict[str, Scalar]:
    """Those settings of an optimizer that are numbers or schedules, schedules built."""
    return {
        key: plugins.OPTIMIZERS.scalar(value)
        for key, value in settings.items()
        if is_schedule(value) or (isinstance(value, int | float) and not isinstance(value, bool))
    }


def _at_start(scalars: Mapping[str, Scalar]) -> dict[str, float]:
    return {key: at(scalar, Progress(epoch=0, epochs=1)) for key, scalar in scalars.items()}
