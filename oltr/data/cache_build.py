"""Making a cache file: in parallel where that is asked for, whole or not at all."""

from __future__ import annotations

import contextlib
import multiprocessing
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from oltr.contracts import RunError, UserError
from oltr.data.cache_file import checksums, reason, writable
from oltr.data.split import ImageSet
from oltr.hdf5 import Stream, creating
from oltr.pixels import middle, resized

FORMAT = 3
"""Version of the layout, and of how images are resized."""
BLOCK = 64
"""Images that a worker makes at a time."""
OVERHEAD = 512
"""Bytes that an image takes at most beside its own: checksum, label, id."""

POOL_SECONDS = 10
"""Work below which no workers are started: they take seconds to start."""

Images = NDArray[np.uint8]


def build(path: Path, identity: str, images: ImageSet, *, image_size: int | None, workers: int) -> None:
    """Write all ``images`` to ``path`` [N, H, W, 3], one after the other, with checksums, labels, ids and ``identity``.

    What stood at ``path`` is replaced at once when the new file is complete; until then, and on failure, it stays.
    """
    first = _prepared(images, [0], image_size)
    needed = (first.nbytes + OVERHEAD) * len(images.labels) + 2**20
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free < needed:
            raise RunError(f"no space for the cache {path}: it needs {needed:,} bytes")
        blocks = _blocks(images, image_size, workers)
        with contextlib.closing(blocks), creating(path) as (file, stream):
            _fill(file, stream, images, first.shape[1:], blocks, title=path.name.split("-")[0])
            file.attrs.update({"source_checksum": identity, "format": FORMAT})
    except OSError as error:
        raise RunError(f"cannot make the cache {path}: {reason(error)}") from error


def _fill(
    file: h5py.File, stream: Stream, images: ImageSet, shape: tuple[int, ...], blocks: Iterator[Images], *, title: str
) -> None:
    count, start = len(images.labels), 0
    # Neither chunks nor filters: an image is where its number says, and is read without HDF5.
    dataset, sums = file.create_dataset("images", (count, *shape), "u1"), np.empty(count, np.uint32)
    with tqdm(total=count, desc=f"caching {title}", unit=" images", file=sys.stderr) as bar:
        for block in blocks:
            if block.shape[1:] != shape:
                raise _uneven(images.ids[start], block.shape[1:3], shape[:2])
            end = start + len(block)
            dataset[start:end], sums[start:end] = block, checksums(block)
            stream.check()
            bar.update(len(block))
            start = end
    file.create_dataset("checksums", data=sums)
    file.create_dataset("labels", data=images.labels)
    file.create_dataset("ids", data=writable(images.ids), dtype=h5py.string_dtype())


def _blocks(images: ImageSet, image_size: int | None, workers: int) -> Generator[Images, None, None]:
    """All images in order, block by block; the blocks are the same for any number of workers."""
    count = len(images.labels)
    ranges = [range(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
    begun = time.monotonic()
    yield _prepared(images, ranges.pop(0), image_size)
    if workers < 1 or (time.monotonic() - begun) * len(ranges) <= POOL_SECONDS:
        yield from (_prepared(images, chosen, image_size) for chosen in ranges)
    else:
        yield from _in_parallel(images, image_size, ranges, min(workers, len(ranges)))


def _in_parallel(
    images: ImageSet, image_size: int | None, ranges: list[range], workers: int
) -> Generator[Images, None, None]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(images, image_size))
    waiting: deque[Future[Images]] = deque()
    try:
        for chosen in ranges:
            waiting.append(pool.submit(_work, chosen))
            # As many ahead as keep the workers busy: what is finished waits in memory.
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise RunError("a process that was making the cache died, perhaps for want of memory; ask for fewer") from error
    finally:
        pool.shutdown(cancel_futures=True)


_source: tuple[ImageSet, int | None]


def _start_worker(images: ImageSet, image_size: int | None) -> None:
    """Receive the set once. An interrupt is the parent's to handle: it ends the pool."""
    global _source
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _source = (images, image_size)


def _work(chosen: range) -> Images:
    return _prepared(_source[0], chosen, _source[1])


def _prepared(images: ImageSet, chosen: range | list[int], image_size: int | None) -> Images:
    """Images as they are stored, [n, H, W, 3]: colours innermost, from which a part is resized fastest."""
    read = images.read(chosen)
    if image_size is not None:
        read = [_fitted(image, image_size) for image in read]
    for index, image in zip(chosen, read, strict=True):
        if image.shape != read[0].shape:
            raise _uneven(images.ids[index], tuple(image.shape[1:]), tuple(read[0].shape[1:]))
    return np.stack([image.permute(1, 2, 0).numpy() for image in read])


def _fitted(image: Tensor, size: int) -> Tensor:
    """The shorter side resized to ``size``, the middle cut out, [3, size, size]."""
    if image.shape[1:] == (size, size):
        return image
    height, width = image.shape[1:]
    short = min(height, width)
    return middle(resized(image, [max(size, round(length * size / short)) for length in (height, width)]), size)


def _uneven(name: str, shape: tuple[int, ...], first: tuple[int, ...]) -> UserError:
    sizes = [f"{height} x {width}" for height, width in (shape, first)]
    return UserError(f"image {name} is {sizes[0]} but others of its set are {sizes[1]}; give the cache an image_size")
