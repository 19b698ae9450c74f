"""Checks of the parts that bring images: samplers, transforms, data sets."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from oltr.contracts import OPEN, Progress
from oltr.plugins import DATASETS, SAMPLERS, TRANSFORMS
from oltr.testing.subject import Subject, copied, unchanged

LABELS = torch.tensor([4] * 9 + [0] * 5 + [2] * 2 + [1])
"""A long tail in no order; class 3 has no image."""
EPOCHS = 6


def check_sampler(part: str | Callable[..., Any], *, options: Mapping[str, Any] | None = None) -> None:
    """A sampler gives indices of images in every epoch, all from its generator, and resumes exactly from its state.

    The state goes through a checkpoint, which holds tensors and plain data.
    """
    subject = Subject(SAMPLERS, part, options)
    whole = _sampler(subject, seed=1)
    around = torch.get_rng_state()
    epochs: list[Tensor] = []
    states = []
    for epoch in range(EPOCHS):
        states.append(whole.state_dict())
        epochs.append(_indices(subject, whole, epoch))
    subject.demand(torch.equal(around, torch.get_rng_state()), "it draws from torch's global generator, not its own")
    again = [_indices(subject, sampler, epoch) for sampler in [_sampler(subject, seed=1)] for epoch in range(EPOCHS)]
    subject.demand(all(map(torch.equal, epochs, again)), "one seed gives two sequences")
    for start, state in enumerate(states):
        resumed = _sampler(subject, seed=2)
        subject.call("loading its state", resumed.load_state_dict, _through_a_checkpoint(subject, state))
        rest = [_indices(subject, resumed, epoch) for epoch in range(start, EPOCHS)]
        fault = f"resumed at epoch {start} it goes on otherwise (a state is a copy of all that the next epoch needs)"
        subject.demand(all(map(torch.equal, rest, epochs[start:])), fault)


def check_transform(
    part: str | Callable[..., Any], *, options: Mapping[str, Any] | None = None, image_size: int = 40
) -> None:
    """A transform gives uint8 images of one size and float32 batches of any number; seeds alone decide.

    ``image`` draws from torch's global generator, ``batch`` from the one it is handed, and where that is left alone an
    image comes out the same in every batch. It goes to worker processes, so it can be pickled.
    """
    subject = Subject(TRANSFORMS, part, options)
    transform = subject.build()
    stored = torch.randint(256, (5, 3, image_size, image_size + 8), generator=torch.Generator().manual_seed(0)).byte()
    before = copied(stored)
    shaped = _shaped(subject, transform, stored)
    subject.demand(torch.equal(shaped, _shaped(subject, transform, stored)), "image: one seed gives two images")
    travelled = subject.call("sent to a worker", lambda: pickle.loads(pickle.dumps(transform)))
    subject.demand(torch.equal(shaped, _shaped(subject, travelled, stored)), "image: pickled it gives other images")
    around, whole = torch.get_rng_state(), _batch(subject, transform, shaped)
    subject.demand(torch.equal(around, torch.get_rng_state()), "batch: it draws from torch's global generator")
    subject.demand(torch.equal(whole, _batch(subject, transform, shaped)), "batch: one seed gives two batches")
    subject.demand(unchanged(before, stored), "it writes to the stored images")
    generator = torch.Generator().manual_seed(3)
    state = generator.get_state()
    transform.batch(shaped.clone(), generator)
    alone = torch.cat([_batch(subject, transform, shaped[[row]]) for row in range(len(shaped))])
    if torch.equal(state, generator.get_state()):
        subject.demand_close(alone, whole, "batch: it draws nothing, but an image depends on the rest of the batch")


def check_dataset(
    part: str | Callable[..., Any], *, options: Mapping[str, Any] | None = None, root: Path | None = None
) -> None:
    """A data set is the same each time it is made, has a checksum, and reads its images by index, also in a worker."""
    subject = Subject(DATASETS, part, options)
    data = subject.build(root=root)
    found = subject.call("check", data.check)
    subject.demand(found.ok and bool(found.lines), f"check: {'; '.join(found.lines) or 'it says nothing'}")
    splits = subject.call("splits", data.splits)
    again = subject.build(root=root).splits()
    subject.demand(bool(splits.manifest.get("sha256")), "its manifest has no sha256")
    subject.demand(splits.manifest["sha256"] == again.manifest["sha256"], "made twice its sha256 differs")
    for name in ("train", "val", "test", "open"):
        images, twin = getattr(splits, name), getattr(again, name)
        if images is not None:
            _check_set(subject, images, twin, name)


def _check_set(subject: Subject, images: Any, twin: Any, name: str) -> None:
    count = len(images.labels)
    subject.demand(images.labels.dtype.name == "int64", f"{name}: labels are int64, not {images.labels.dtype}")
    subject.demand(len(images.ids) == count == len(set(images.ids)), f"{name}: ids are unique, one an image")
    subject.demand(list(images.ids) == list(twin.ids), f"{name}: made twice its ids differ")
    if name == "open":
        subject.demand(bool((images.labels == OPEN).all()), f"open: labels are {OPEN}")
    wanted = sorted({0, count // 2, count - 1}, reverse=True)
    read = subject.call(f"{name}: reading", images.read, wanted)
    for image in read:
        proper = isinstance(image, Tensor) and image.dtype == torch.uint8 and image.dim() == 3 and len(image) == 3
        subject.demand(proper, f"{name}: an image is uint8 [3, h, w]")
    travelled = subject.call(f"{name}: sent to a worker", lambda: pickle.loads(pickle.dumps(images)))
    for index, image in zip(wanted, read, strict=True):
        same = all(torch.equal(image, other.read([index])[0]) for other in (images, twin, travelled))
        subject.demand(same, f"{name}: image {index} is not the same each time it is read")


def _sampler(subject: Subject, *, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return subject.build(labels=LABELS.clone(), num_classes=5, generator=generator)


def _indices(subject: Subject, sampler: Any, epoch: int) -> Tensor:
    indices: Tensor = subject.call(f"epoch {epoch}", sampler.indices, Progress(epoch=epoch, epochs=EPOCHS))
    proper = isinstance(indices, Tensor) and indices.dtype == torch.int64 and indices.dim() == 1 and len(indices) > 0
    subject.demand(proper, f"epoch {epoch}: indices are int64 [n], n above 0")
    inside = bool(((indices >= 0) & (indices < len(LABELS))).all())
    subject.demand(inside, f"epoch {epoch}: indices of images are 0 to {len(LABELS) - 1}, not {indices.tolist()}")
    return indices.clone()


def _through_a_checkpoint(subject: Subject, state: Any) -> Any:
    file = io.BytesIO()
    subject.call("saving its state", torch.save, state, file)
    file.seek(0)
    return subject.call("a state of tensors and plain data", torch.load, file, weights_only=True)


def _shaped(subject: Subject, transform: Any, stored: Tensor) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        images = [subject.call("image", transform.image, image) for image in stored]
    for image in images:
        proper = isinstance(image, Tensor) and image.dtype == torch.uint8 and image.shape[:1] == (3,)
        subject.demand(proper and image.shape == images[0].shape, "image: it gives uint8 [3, H, W], all of one size")
    return torch.stack(images)


def _batch(subject: Subject, transform: Any, shaped: Tensor) -> Tensor:
    images = shaped.clone()
    batch: Tensor = subject.call("batch", transform.batch, images, torch.Generator().manual_seed(7))
    subject.demand(torch.equal(images, shaped), "batch: it writes to the stored images")
    proper = batch.dtype == torch.float32 and batch.shape == shaped.shape
    given = f"{str(batch.dtype).removeprefix('torch.')} {list(batch.shape)}"
    subject.demand(proper, f"batch: it gives float32 {list(shaped.shape)}, not {given}")
    subject.demand_finite(batch, "batch: its images are")
    return batch
