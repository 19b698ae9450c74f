"""Images on their way to the network: rendered, decoded or cached, then jittered and normalised."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from torchvision.transforms import Compose, RandomHorizontalFlip, RandomResizedCrop, ToTensor, v2
from torchvision.transforms import Normalize as NormaliseEach
from torchvision.transforms import functional as of_pillow
from torchvision.transforms.v2 import functional as images_of

from benchmarks.rows import Case, Row
from oltr.data.cache import cached
from oltr.data.glyphs import Glyphs
from oltr.data.image_files import ImageFiles, Paths
from oltr.data.split import ImageSet, Splits
from oltr.transforms.imagenet import ImageNetTrain
from oltr.transforms.normalise import IMAGENET_MEAN, IMAGENET_STD

STRENGTH = 0.4
BATCH = 128


def jitter(folder: Path, *, images: int, size: int) -> Case:
    """The twin draws the same order of adjustments and the same factors."""
    batch = torch.randint(256, (images, 3, size, size), dtype=torch.uint8)
    transform = ImageNetTrain(size=size, brightness=STRENGTH, contrast=STRENGTH, saturation=STRENGTH)
    adjust = (images_of.adjust_brightness, images_of.adjust_contrast, images_of.adjust_saturation)

    def twin() -> Tensor:
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(3, generator=generator).tolist()
        factors = 1 + STRENGTH * (2 * torch.rand(3, images, generator=generator) - 1)
        finished = []
        for image, own in zip(batch, factors.T.tolist(), strict=True):
            image = image / 255
            for which in order:
                image = adjust[which](image, own[which])
            finished.append(images_of.normalize(image, IMAGENET_MEAN, IMAGENET_STD))
        return torch.stack(finished)

    def ours() -> Tensor:
        return transform.batch(batch, torch.Generator().manual_seed(0))

    return Case(ours=ours, twin=twin, tolerance=1e-5)


def compiled_jitter(folder: Path, *, images: int, size: int) -> Case:
    """What compilation makes of it, beside what it is."""
    batch = torch.randint(256, (images, 3, size, size), dtype=torch.uint8)
    plain, compiled = ImageNetTrain(size=size), ImageNetTrain(size=size)
    compiled.compile()
    return Case(
        ours=lambda: compiled.batch(batch, torch.Generator().manual_seed(0)),
        twin=lambda: plain.batch(batch, torch.Generator().manual_seed(0)),
        tolerance=1e-5,
    )


def random_crops(folder: Path, *, images: int, size: int) -> Case:
    """Of images as the cache gives them."""
    stored = torch.randint(256, (images, size * 8 // 7, size * 8 // 7, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    transform = ImageNetTrain(size=size)
    theirs = v2.Compose([v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()])

    def cropped(shape: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            return torch.stack([shape(image) for image in stored])

    return Case(ours=lambda: cropped(transform.image), twin=lambda: cropped(theirs), tolerance=0.0)


def glyphs(folder: Path, *, images: int, size: int) -> Case:
    train = Glyphs(image_size=size).splits().train
    chosen = np.random.default_rng(0).integers(len(train.labels), size=images).tolist()
    return Case(
        ours=lambda: torch.stack(train.read(chosen)),
        twin=lambda: torch.stack([train.read([index])[0] for index in chosen]),
    )


def cache(folder: Path, *, images: int, size: int) -> Case:
    """Batches in random order from an HDF5 file that is not held in memory; the twin reads what it was made from."""
    names = [f"{index}.jpg" for index in range(images)]
    for index, name in enumerate(names):
        photograph(index, size).save(folder / name, quality=85)
    files = ImageFiles(folder=folder, ids=Paths([name.encode() for name in names]), labels=np.zeros(images, np.int64))
    one = files.take(np.array([0]), np.array([0]))
    splits = Splits(train=files, val=one, test=one, open=None, class_names=("any",), manifest={"sha256": "0"})
    stored = cached(splits, folder=folder / "cache", memory=0).train
    order = np.random.default_rng(0).permutation(images).tolist()
    return Case(ours=lambda: in_batches(stored, order), twin=lambda: in_batches(files, order))


def jpeg(folder: Path, *, images: int, height: int, width: int, size: int) -> Case:
    """JPEG files to a training batch; the twin is the original's way, with the same draws for each image and batch.

    The decoders and the ways to resize differ by a level or two, which strong contrast multiplies.
    """
    names = [f"{index}.jpg" for index in range(images)]
    for index, name in enumerate(names):
        photograph(index, width).resize((width, height)).save(folder / name, quality=90)
    files = ImageFiles(folder=folder, ids=Paths([name.encode() for name in names]), labels=np.zeros(images, np.int64))
    return _augmented(files, [folder / name for name in names], size)


def large_jpeg(folder: Path, *, images: int, height: int, width: int, size: int) -> Case:
    """Large JPEG files as a cache takes them with ``scaled_decode``; the twin decodes them whole.

    The decoder scales by averaging over its blocks, so patches of colour are compared, not pixels.
    """
    names = [f"{index}.jpg" for index in range(images)]
    for index, name in enumerate(names):
        photograph(index, width).resize((width, height)).save(folder / name, quality=90)
    files = ImageFiles(folder=folder, ids=Paths([name.encode() for name in names]), labels=np.zeros(images, np.int64))

    def shrunk(files: ImageFiles) -> list[Tensor]:
        return [images_of.resize(image, [size], antialias=True) for image in files.read(range(images))]

    return Case(
        ours=lambda: shrunk(files.at_least(size)),
        twin=lambda: shrunk(files),
        facts=lambda found: [adaptive_avg_pool2d(image / 255, 4).numpy() for image in found],
        tolerance=0.05,
    )


def augmented_cache(folder: Path, *, images: int, size: int) -> Case:
    """The same from the cache file; the twin decodes what it was made from."""
    names = [f"{index}.jpg" for index in range(images)]
    for index, name in enumerate(names):
        photograph(index, size * 8 // 7).save(folder / name, quality=85)
    files = ImageFiles(folder=folder, ids=Paths([name.encode() for name in names]), labels=np.zeros(images, np.int64))
    one = files.take(np.array([0]), np.array([0]))
    splits = Splits(train=files, val=one, test=one, open=None, class_names=("any",), manifest={"sha256": "0"})
    stored = cached(splits, folder=folder / "cache", memory=0).train
    return _augmented(stored, [folder / name for name in names], size)


def _augmented(images: ImageSet, paths: Sequence[Path], size: int) -> Case:
    transform = ImageNetTrain(size=size)
    adjust = (of_pillow.adjust_brightness, of_pillow.adjust_contrast, of_pillow.adjust_saturation)

    def ours() -> Tensor:
        shaped = []
        with torch.random.fork_rng(devices=[]):
            for index, image in enumerate(images.read(range(len(paths)))):
                torch.default_generator.manual_seed(index)
                shaped.append(transform.image(image))
        return transform.batch(torch.stack(shaped), torch.Generator().manual_seed(0))

    def twin() -> Tensor:
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(3, generator=generator).tolist()
        factors = (1 + STRENGTH * (2 * torch.rand(3, len(paths), generator=generator) - 1)).T.tolist()
        shape = Compose([RandomResizedCrop(size), RandomHorizontalFlip()])
        finish = Compose([ToTensor(), NormaliseEach(IMAGENET_MEAN, IMAGENET_STD)])
        finished = []
        with torch.random.fork_rng(devices=[]):
            for index, (path, own) in enumerate(zip(paths, factors, strict=True)):
                torch.default_generator.manual_seed(index)
                with path.open("rb") as file:
                    image = shape(Image.open(file).convert("RGB"))
                for which in order:
                    image = adjust[which](image, own[which])
                finished.append(finish(image))
        return torch.stack(finished)

    return Case(ours=ours, twin=twin, tolerance=0.15)


def in_batches(images: ImageSet, order: Sequence[int]) -> list[Tensor]:
    return [torch.stack(images.read(order[start : start + BATCH])) for start in range(0, len(order), BATCH)]


def photograph(seed: int, size: int) -> Image.Image:
    """Soft patches of colour under a little noise: compresses about like a photograph."""
    chance = np.random.default_rng(seed)
    soft = Image.fromarray(chance.integers(256, size=(12, 12, 3), dtype=np.uint8)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    noisy = np.asarray(soft, dtype=np.float64) + chance.normal(0, 6, (size, size, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


COMPILED = Row(
    name="jitter_compiled",
    what="{images} images of {size} x {size}: the same compiled",
    twin="the same as it is, not compiled",
    make=compiled_jitter,
    full={"images": 64, "size": 224},
    tiny={"images": 4, "size": 6},
    per="images",
)

ROWS = (
    *(
        Row(
            name=f"jpeg_{width}",
            what="{images} JPEGs of {width} x {height}: decoded, cropped at random, mirrored, jittered, normalised",
            twin="the original's way: Pillow, then torchvision's transforms of Pillow images",
            make=jpeg,
            full={"images": 128, "height": height, "width": width, "size": 224},
            tiny={"images": 4, "height": 30, "width": 40, "size": 16},
            per="images",
        )
        for height, width in ((375, 500), (256, 256))
    ),
    Row(
        name="jpeg_1600",
        what="{images} JPEGs of {width} x {height}: decoded at a smaller scale, the shorter side brought to {size}",
        twin="decoded whole",
        make=large_jpeg,
        full={"images": 16, "height": 1200, "width": 1600, "size": 256},
        tiny={"images": 2, "height": 180, "width": 240, "size": 40},
        per="images",
    ),
    Row(
        name="cache_augmented",
        what="{images} images from the cache file: random crops of {size} x {size}, mirrored, jittered, normalised",
        twin="the same from JPEG files in the original's way",
        make=augmented_cache,
        full={"images": 128, "size": 224},
        tiny={"images": 4, "size": 21},
        per="images",
    ),
    Row(
        name="jitter",
        what="{images} images of {size} x {size} jittered in brightness, contrast and saturation, and normalised",
        twin="torchvision's functions image by image",
        make=jitter,
        full={"images": 64, "size": 224},
        tiny={"images": 6, "size": 9},
        per="images",
        memory=True,
    ),
    *([COMPILED] if shutil.which("g++") or shutil.which("clang") else []),  # torch.compile needs one of them
    Row(
        name="random_crop",
        what="{images} images in memory, colours innermost: random crops of {size} x {size}, mirrored",
        twin="torchvision's",
        make=random_crops,
        full={"images": 128, "size": 224},
        tiny={"images": 4, "size": 21},
        per="images",
    ),
    *(
        Row(
            name=f"glyphs_{size}",
            what="{images:,} characters rendered at {size} x {size}",
            twin="the same, an image at a time",
            make=glyphs,
            full={"images": images, "size": size},
            tiny={"images": 5, "size": 12},
            per="images",
        )
        for images, size in ((2048, 32), (256, 224))
    ),
    Row(
        name="cache",
        what="{images:,} images of {size} x {size} from the cache file in random order, in batches of 128",
        twin="the same from JPEG files, decoded",
        make=cache,
        full={"images": 1024, "size": 256},
        tiny={"images": 10, "size": 16},
        per="images",
    ),
)
