"""Batches: the same whatever reads them, resumed as if never stopped, and errors that name the image."""

import gc
import os
import weakref

import numpy as np
import pytest
import torch

from oltr.contracts import RunError, UserError
from oltr.data.batches import Batches
from oltr.processes import Processes
from oltr.transforms.cifar import CifarTest, CifarTrain
from oltr.transforms.imagenet import ImageNetTrain
from oltr.transforms.plain import Plain


class Pictures:
    """Images whose first byte is their index; ``broken`` ones behave as their value says."""

    def __init__(self, count=23, size=(8, 8), broken=None):
        self.labels = np.arange(count, dtype=np.int64) % 5
        self.ids = [f"picture {index}" for index in range(count)]
        self.size, self.broken = size, broken or {}

    def read(self, indices):
        return [self.one(index) for index in indices]

    def one(self, index):
        if isinstance(self.broken.get(index), Exception):
            raise self.broken[index]
        if self.broken.get(index) == "exit":
            os._exit(7)
        size = self.broken.get(index, self.size)
        image = torch.randint(256, (3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(index))
        image[0, 0, 0] = index
        return image


def batches(*, transform=None, workers=0, batch_size=4, seed=1, share=range, **pictures):
    return Batches(
        image_set=Pictures(**pictures),
        transform=transform or ImageNetTrain(size=6),
        batch_size=batch_size,
        seed=seed,
        device=torch.device("cpu"),
        workers=workers,
        share=share,
    )


def epoch(of, number=0, *, images=23, drop_last=False):
    order = torch.randperm(images, generator=torch.Generator().manual_seed(number))
    return list(of.epoch(order, epoch=number, drop_last=drop_last))


def same(these, those):
    return len(these) == len(those) and all(
        torch.equal(this, that)
        for one, other in zip(these, those, strict=True)
        for this, that in zip(one, other, strict=True)
    )


def test_workers_change_nothing():
    alone, helped = batches(), batches(workers=2)
    for number in range(3):
        assert same(epoch(alone, number), epoch(helped, number))


def test_an_epoch_does_not_depend_on_those_before():
    straight, resumed = batches(), batches()
    ahead = [epoch(straight, number) for number in range(3)]
    assert same(ahead[2], epoch(resumed, 2))


def test_draws_differ_by_seed_by_epoch_by_step_and_by_purpose():
    indices = torch.zeros(8, dtype=torch.int64)  # one image over and over: only the draws differ
    results = []
    for seed, number in ((1, 0), (1, 1), (2, 0)):
        of_seed = batches(seed=seed, transform=CifarTrain(size=8), batch_size=4)
        results += [images for images, _, _ in of_seed.epoch(indices, epoch=number, drop_last=False)]
    shaped = batches(transform=ImageNetTrain(size=6, brightness=0, contrast=0, saturation=0), batch_size=4)
    results += [images for images, _, _ in shaped.epoch(indices, epoch=0, drop_last=False)]
    assert len({images.numpy().tobytes() for images in results}) == len(results) == 8


class Draws:
    """A transform that shows its draws: one per image where it is read, one per image on the batch."""

    def image(self, image):
        return torch.randint(256, (3, 1, 1), dtype=torch.uint8)

    def batch(self, images, generator):
        drawn = torch.randint(256, images.shape, dtype=torch.uint8, generator=generator)
        return torch.stack([images, drawn]).float()


def test_draws_of_images_and_of_their_batch_are_unrelated():
    read, finished = epoch(batches(transform=Draws(), batch_size=23))[0][0]
    assert (read == finished).float().mean() < 0.1
    assert len(read.unique()) > 40


def test_images_labels_and_indices_belong_together():
    transform = Plain(mean=[0.0], std=[1 / 255])  # gives back the bytes
    seen = []
    for images, labels, indices in epoch(batches(transform=transform, workers=2)):
        assert images.dtype == torch.float32
        assert images[:, 0, 0, 0].round().tolist() == indices.tolist()
        assert labels.tolist() == [index % 5 for index in indices.tolist()]
        seen += indices.tolist()
    assert seen == torch.randperm(23, generator=torch.Generator().manual_seed(0)).tolist()


@pytest.mark.parametrize(
    ("images", "drop_last", "sizes"),
    [
        (11, False, [4, 4, 3]),
        (12, True, [4, 4, 4]),
        (11, True, [4, 4]),
        (9, True, [4, 4]),
        (3, True, [3]),
        (1, True, [1]),
        (0, True, []),
        (0, False, []),
    ],
)
def test_steps(images, drop_last, sizes):
    for workers in (0, 1):
        of = batches(transform=CifarTest(size=8), workers=workers)
        assert [len(labels) for _, labels, _ in epoch(of, images=images, drop_last=drop_last)] == sizes
        assert of.steps(images, drop_last=drop_last) == len(sizes)


@pytest.mark.parametrize("workers", [0, 2])
def test_leaves_the_global_generator_alone(workers):
    state = torch.get_rng_state()
    epoch(batches(workers=workers))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", [UserError, RunError])
def test_our_errors_come_through_as_they_are(workers, kind):
    of = batches(workers=workers, broken={22: kind("a/b.jpg is cut short: copy it again")})
    with pytest.raises(kind, match=r"^a/b\.jpg is cut short: copy it again$"):
        list(of.epoch(torch.arange(23), epoch=0, drop_last=False))
    assert same(list(of.epoch(torch.arange(20), epoch=1, drop_last=False)), healthy(20, 1))


def healthy(images, number):
    return list(batches().epoch(torch.arange(images), epoch=number, drop_last=False))


def test_an_error_does_not_keep_the_workers():
    of = batches(workers=1, broken={22: UserError("cut short")})
    gone = weakref.ref(of)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(UserError):
            epoch(of)
        del of
        assert gone() is None  # no cycle through the traceback: found by the collector, workers take seconds to stop
    finally:
        gc.enable()


def test_a_bug_keeps_its_traceback():
    with pytest.raises(KeyError, match=r"(?s)Caught KeyError in DataLoader worker.*in one"):
        epoch(batches(workers=1, broken={3: KeyError("lost")}))


def test_a_worker_that_dies_is_a_run_error_of_one_line():
    with pytest.raises(RunError, match=r"^a process that reads images died: DataLoader worker .*$"):
        epoch(batches(workers=1, broken={3: "exit"}))


@pytest.mark.parametrize("workers", [0, 2])
def test_images_of_several_sizes_need_a_size(workers):
    several = {"broken": {2: (9, 7)}, "workers": workers}
    with pytest.raises(
        UserError, match="one batch holds images of 8 x 8 and of 9 x 7: give the transform a fixed `size`"
    ):
        epoch(batches(transform=Plain(), **several))
    assert len(epoch(batches(transform=Plain(size=8), **several))) == 6


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_left_early_leaves_nothing_behind(workers):
    of = batches(workers=workers)
    for _ in of.epoch(torch.arange(23), epoch=0, drop_last=False):
        break
    assert same(epoch(of, 5), epoch(batches(), 5))


def test_waiting_is_counted():
    of = batches()
    assert of.wait_seconds == 0
    epoch(of)
    first = of.wait_seconds
    epoch(of)
    assert 0 < first < of.wait_seconds


def test_mistakes():
    with pytest.raises(UserError, match="batch_size is at least 1, not 0"):
        batches(batch_size=0)
    with pytest.raises(UserError, match=r"workers is 0 .* or more, not -1"):
        batches(workers=-1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("workers", [0, 2])
def test_on_a_device_as_on_the_cpu(workers):
    for transform in (ImageNetTrain(size=6), CifarTrain(size=8)):
        device = torch.device("cuda")
        there = Batches(image_set=Pictures(), transform=transform, batch_size=4, seed=1, device=device, workers=workers)
        state = torch.cuda.get_rng_state()
        for (images, labels, indices), (ours, our_labels, ours_indices) in zip(
            epoch(there), epoch(batches(transform=transform)), strict=True
        ):
            assert images.is_cuda
            assert labels.is_cuda
            torch.testing.assert_close(images.cpu(), ours, rtol=0, atol=1e-5)
            assert torch.equal(labels.cpu(), our_labels)
            assert torch.equal(indices, ours_indices)
        assert torch.equal(torch.cuda.get_rng_state(), state)


@pytest.mark.parametrize(
    ("transform", "workers"),
    [
        (ImageNetTrain(size=6), 0),
        (ImageNetTrain(size=6), 1),
        (CifarTrain(size=8), 0),
        (CifarTest(), 0),
        (Plain(padding=1), 0),
    ],
)
def test_a_share_holds_the_rows_that_a_process_alone_would_get(transform, workers):
    """Random crops are drawn image by image, jitter and shifts for a batch at once: both as if nobody shared."""
    whole = epoch(batches(transform=transform, batch_size=7), drop_last=True)
    processes = [Processes(rank=rank, count=3) for rank in range(3)]
    shares = [
        epoch(
            batches(transform=transform, batch_size=7, workers=workers, share=lambda size, one=one: one.share(size)[0]),
            drop_last=True,
        )
        for one in processes
    ]
    for step, (images, labels, indices) in enumerate(whole):
        assert torch.equal(torch.cat([share[step][0] for share in shares]), images)
        for share in shares:
            assert torch.equal(share[step][1], labels)
            assert torch.equal(share[step][2], indices)


def test_batches_in_turn_are_those_of_one_process():
    """Where others do the batches between, each draws what it would draw in its place."""
    order = torch.arange(23)
    whole = epoch_of(batches(), order, (0, 1))
    chunks = order.split(4)
    for first in range(2):
        own = epoch_of(batches(), torch.cat(chunks[first::2]), (first, 2))
        assert same(own, whole[first::2])


def epoch_of(of, order, steps):
    return list(of.epoch(order, epoch=0, drop_last=False, steps=steps))
