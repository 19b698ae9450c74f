"""What a frozen backbone makes of the images, computed once and shared by every run that has the same of both."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from oltr import feature_file, plugins
from oltr.cached_batches import CachedBatches
from oltr.checkpoint import weights_checksum
from oltr.contracts import RunError, UserError
from oltr.data.batches import Batches
from oltr.data.split import ImageSet
from oltr.division import Division
from oltr.feature_file import KINDS, Layout
from oltr.feature_identity import draws, told
from oltr.inference import Inference
from oltr.stage_config import FeatureCacheConfig

if TYPE_CHECKING:
    from oltr.experiment import Experiment

FORMAT = 1
"""Version of the layout, and of what a backbone's cuts mean."""
AT_REST = "test_transform"

log = logging.getLogger("oltr")


@dataclass(frozen=True, kw_only=True)
class FeatureCache:
    """The cached values of an experiment's frozen backbone, of each set made or opened when it is first asked for."""

    experiment: Experiment
    wanted: FeatureCacheConfig

    @cached_property
    def division(self) -> Division:
        return Division(self.experiment.pair, self.experiment.config.backbone.only or ())

    @cached_property
    def train(self) -> CachedBatches:
        """The training images, as the training transform shows them."""
        config = self.experiment.config
        shown = AT_REST if self.rests else "train_transform"
        values = self._values("train", self.experiment.splits.train, shown, self.views)
        return self._batches(values, config.batch_size, self.experiment.splits.train, shared=True)

    @cached_property
    def val(self) -> CachedBatches:
        """The validation images, as the test transform shows them."""
        images = self.experiment.splits.val
        values = self._values("val", images, AT_REST, 1)
        return self._batches(values, self.experiment.config.evaluation.batch_size, images)

    @property
    def views(self) -> int:
        """Of each training image: no more than there are epochs to see them."""
        return min(self.wanted.views, self.experiment.config.epochs)

    @property
    def rests(self) -> bool:
        """Whether training sees the images as tests do."""
        return self.experiment.config.train_transform == self.experiment.config.test_transform

    @property
    def inference(self) -> Inference:
        """Passes of what stands beyond the cut, over cached values."""
        return replace(self.experiment.inference, pair=self.division.rest)

    def class_means(self) -> Tensor | None:
        """Mean features of the training set as tests see it, [C, D]; None where that is not what is cached."""
        if not self.rests:
            return None
        images = self.experiment.splits.train
        size = self.experiment.config.evaluation.batch_size
        return self.inference.class_means(self._batches(self.train.values, size, images), images.labels)

    def describe(self) -> dict[str, Any]:
        """As plain data, for the provenance."""
        sets = {"train": self.train.values, "val": self.val.values}
        return {
            "holds": self.division.cut,
            "shape": list(self._stored[0]),
            "precision": str(self._stored[1]).removeprefix("torch."),
            "views": self.views,
            "bytes": {name: values.nbytes for name, values in sets.items()},
            "identity": {name: self._identities[name][:16] for name in sets},
        }

    def _batches(self, values: Tensor, size: int, images: ImageSet, *, shared: bool = False) -> CachedBatches:
        return CachedBatches(
            values=values,
            labels=torch.as_tensor(images.labels),
            batch_size=size,
            device=self.experiment.device,
            dtype=self.division.taken(values.dtype),
            share=self.experiment.computing.share if shared else range,
        )

    def _values(self, name: str, images: ImageSet, shown: str, views: int) -> Tensor:
        """The rows of a set: of the file that is there, or of one that is made now, on every machine that lacks it."""
        everyone = self.experiment.processes
        identity = self._identities[name]
        path = self.experiment.cache_folder / f"features-{name}-{identity[:16]}.h5"
        layout = self._layout(len(images.labels), views)
        writes = everyone.local_rank == 0
        found = feature_file.mapped(path, identity, layout) if writes else None
        if not all(everyone.tell(not writes or found is not None)):
            log.info("feature cache %s: %s", path, layout)
            blocks = self._blocks(self._images(images, shown), layout, f"features of {name}")
            if writes and found is None:
                self._demand_room(layout)
                feature_file.write(path, identity, layout, blocks)
            else:
                for _ in blocks:  # the others have their part in it
                    pass
            everyone.meet()
        if found is None:
            found = feature_file.mapped(path, identity, layout, verify=False)
        if found is None:
            raise RunError(f"the feature cache {path} is gone as soon as it was made")
        return self._placed(found)

    def _placed(self, values: Tensor) -> Tensor:
        """On the GPU where half of its free memory holds them, else where they are."""
        device = self.experiment.device
        if device.type == "cuda" and values.nbytes <= torch.cuda.mem_get_info(device)[0] // 2:
            return values.to(device)
        return values

    def _images(self, images: ImageSet, shown: str) -> Batches:
        return self.experiment.batches_of(images, shown, self.experiment.config.evaluation.batch_size)

    def _blocks(self, batches: Batches, layout: Layout, what: str) -> Iterator[Tensor]:
        for view in range(layout.views):
            title = what if layout.views == 1 else f"{what}, view {view + 1}/{layout.views}"

            def work(images: Tensor) -> Tensor:
                return self.division.until(images).to(layout.dtype)

            yield from self.experiment.inference.values(batches, layout.images, work, title, epoch=view)

    def _layout(self, images: int, views: int) -> Layout:
        shape, dtype = self._stored
        return Layout(views=views, images=images, shape=shape, dtype=dtype)

    @cached_property
    def _stored(self) -> tuple[tuple[int, ...], torch.dtype]:
        """Shape and precision of a row: what the frozen part makes of one image tells them."""
        probe = self._images(self.experiment.splits.val, AT_REST)
        first = self.experiment.inference.first(probe, self.division.until)
        chosen = first.dtype if self.wanted.precision == "auto" else getattr(torch, self.wanted.precision)
        return tuple(first.shape[1:]), chosen if chosen in KINDS else torch.float32

    @cached_property
    def _identities(self) -> dict[str, str]:
        """A digest of all that the values of each set depend on; the seed only where something is drawn."""
        config, splits = self.experiment.config, self.experiment.splits
        if not splits.manifest.get("sha256"):
            raise UserError(
                f"{self.experiment.place}: feature_cache: the data set's manifest has no sha256, so a cache cannot "
                "tell when it changes; train without"
            )
        shared = {
            "format": FORMAT,
            "weights": weights_checksum(self.division.frozen_state()),
            "backbone": told(plugins.BACKBONES, config.backbone),
            "cut": self.division.cut,
            "data": [splits.manifest["sha256"], None if config.cache is None else asdict(config.cache)],
            "precision": [str(self.experiment.computing.half_precision), str(self._stored[1])],
            "device": self.experiment.device.type,  # whose kernels round in their own way
        }
        found = {}
        sets = (("train", splits.train, self.rests, self.views), ("val", splits.val, True, 1))
        for name, images, rests, views in sets:
            fixed = rests and not draws(self.experiment.test_transform, images.read([0])[0])
            own = {
                "set": [name, getattr(images, "identity", None), getattr(images, "fingerprint", str)()],
                "transform": told(plugins.TRANSFORMS, config.test_transform if rests else config.train_transform),
                "drawn": None if fixed else [config.seed, config.evaluation.batch_size, views],
            }
            text = json.dumps({**shared, **own}, sort_keys=True, default=str)
            found[name] = hashlib.sha256(text.encode()).hexdigest()
        return found

    def _demand_room(self, layout: Layout) -> None:
        folder = self.experiment.cache_folder.absolute()
        there = next(place for place in (folder, *folder.parents) if place.exists())
        free = shutil.disk_usage(there).free
        if free < layout.bytes:
            raise RunError(
                f"feature_cache: {layout}, but {there} has {free / 1e9:,.3g} GB left: "
                "free some, or store in bfloat16, or take fewer views"
            )
