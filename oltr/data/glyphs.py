"""Glyphs-LT, the embedded benchmark: characters of matplotlib's fonts under a long tail, with open sets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oltr.contracts import OPEN, UserError
from oltr.data.glyph_characters import distinct_characters
from oltr.data.glyph_far import KINDS, FarSet, far_set
from oltr.data.glyph_fonts import FACES, candidates, font_paths, fonts_checksum
from oltr.data.glyph_render import GENERATOR, render, words_of
from oltr.data.glyph_streams import words
from oltr.data.profiles import PROFILES, heights
from oltr.data.split import DataCheck, Splits

PIXELS_AT_ONCE = 1 << 16


@dataclass(kw_only=True, eq=False)
class GlyphSet:
    """Images that are rendered as they are read; each follows from the seed, its set, its text and its number alone."""

    seed: int
    stream: str
    texts: tuple[str, ...]
    places: NDArray[np.int64]
    """Which of the texts each image shows, [N]."""
    numbers: NDArray[np.int64]
    """Its number among the images of that text, [N]."""
    image_size: int
    labels: NDArray[np.int64]
    ids: Sequence[str]

    def read(self, indices: Sequence[int]) -> list[Tensor]:
        block = max(1, PIXELS_AT_ONCE // self.image_size**2)
        images: list[Tensor] = []
        for start in range(0, len(indices), block):
            chosen = indices[start : start + block]
            texts = [self.texts[self.places[index]] for index in chosen]
            random = [
                words(self.seed, self.stream, text, int(self.numbers[index]), words_of(self.image_size))
                for text, index in zip(texts, chosen, strict=True)
            ]
            images.extend(torch.from_numpy(render(texts, np.stack(random), self.image_size)))
        return images


class Glyphs:
    """Known characters under a long tail, further ones as the open set; where characters run out, pairs of them.

    Still others are the open validation set, as many as are left over; patterns that are no characters are the far open
    set. Class 0 is the largest; which character a class shows is drawn from the seed. Profiles as in `heights`.
    """

    def __init__(
        self,
        *,
        known_classes: int = 80,
        open_classes: int = 20,
        max_images: int = 300,
        min_images: int = 5,
        profile: str = "exponential",
        image_size: int = 32,
        val_images: int = 20,
        test_images: int = 50,
        open_images: int = 50,
        open_val_classes: int = 10,
        open_val_images: int = 20,
        far_images: int = 500,
        seed: int = 0,
    ) -> None:
        self.options: dict[str, Any] = {key: value for key, value in locals().items() if key != "self"}
        least = {"known_classes": 1, "open_classes": 0, "min_images": 1, "max_images": min_images, "image_size": 8}
        least |= {"val_images": 1, "test_images": 1, "open_images": 1, "seed": 0}
        least |= {"open_val_classes": 0, "open_val_images": 1, "far_images": 0}
        for key, bound in least.items():
            if self.options[key] < bound:
                raise UserError(f"glyphs: {key} is at least {bound}, not {self.options[key]}")
        for key, bound in {"image_size": 1024, "seed": 2**63 - 1}.items():
            if self.options[key] > bound:
                raise UserError(f"glyphs: {key} is at most {bound}, not {self.options[key]}")
        if profile not in PROFILES:
            raise UserError(f"glyphs: no profile {profile!r}; there are {', '.join(PROFILES)}")

    def splits(self) -> Splits:
        options = self.options
        known, unknown, held_out = texts = _assign(options)
        largest = options["max_images"]
        factor = largest / options["min_images"]
        counts = [round(height) for height in heights(options["profile"], len(known), largest=largest, factor=factor)]
        return Splits(
            train=self._images("train", known, counts),
            val=self._images("val", known, [options["val_images"]] * len(known)),
            test=self._images("test", known, [options["test_images"]] * len(known)),
            open=self._open("open", unknown),
            far=self._far(),
            open_val=self._open("open_val", held_out),
            class_names=tuple(f"{'+'.join(f'U+{ord(one):04X}' for one in text)} {text}" for text in known),
            manifest=_manifest(options, texts, counts),
        )

    def check(self) -> DataCheck:
        missing = [str(path) for path in font_paths() if not path.is_file()]
        if missing:
            return DataCheck(lines=tuple(f"missing: {path} (reinstall matplotlib)" for path in missing), ok=False)
        splits = self.splits()
        counts = splits.train_counts
        sets = {key: getattr(splits, key) for key in ("train", "val", "test", "open", "open_val", "far")}
        sizes = {key: len(images.labels) if images else 0 for key, images in sets.items()}
        return DataCheck(
            lines=(
                "glyphs are rendered: no files are needed",
                f"{len(candidates())} letters and digits in all {len(FACES)} faces of matplotlib "
                f"{matplotlib.__version__}, {len(distinct_characters().characters)} of them distinct",
                f"{splits.num_classes} known classes of {counts.max()} to {counts.min()} training images, "
                f"{self.options['open_classes']} open classes",
                f"{len(splits.manifest['open_val'])} further open classes for validation",
                ", ".join(f"{key} {size}" for key, size in sizes.items()) + " images",
            ),
            ok=True,
        )

    def _open(self, stream: str, texts: tuple[str, ...]) -> GlyphSet | None:
        return self._images(stream, texts, [self.options[f"{stream}_images"]] * len(texts)) if texts else None

    def _far(self) -> FarSet | None:
        count, seed, size = (self.options[key] for key in ("far_images", "seed", "image_size"))
        return far_set(count, seed=seed, image_size=size) if count else None

    def _images(self, stream: str, texts: tuple[str, ...], counts: Sequence[int]) -> GlyphSet:
        places = np.repeat(np.arange(len(texts), dtype=np.int64), counts)
        numbers = np.concatenate([np.arange(count, dtype=np.int64) for count in counts])
        return GlyphSet(
            seed=self.options["seed"],
            stream=stream,
            texts=texts,
            places=places,
            numbers=numbers,
            image_size=self.options["image_size"],
            labels=places if stream in ("train", "val", "test") else np.full_like(places, OPEN),
            ids=[f"{stream}/{place:04d}/{number:05d}" for place, number in zip(places, numbers, strict=True)],
        )


class Texts(NamedTuple):
    """What the classes show: the known ones, those of the open set, and those of the open validation set."""

    known: tuple[str, ...]
    open: tuple[str, ...]
    open_val: tuple[str, ...]


def _assign(options: dict[str, Any]) -> Texts:
    """Texts drawn from the seed: characters, or all pairs where the known and the open classes exhaust them.

    The open validation classes come last, and are fewer where fewer are left, so that they change no other class.
    """
    known, unknown = options["known_classes"], options["open_classes"]
    characters = distinct_characters().characters
    pool: Sequence[str] = characters
    if known + unknown > len(characters):
        pool = ["".join(pair) for pair in permutations(characters, 2)]
    if known + unknown > len(pool):
        raise UserError(f"glyphs: {known} known and {unknown} open classes, but there are only {len(pool)} pairs")
    order = np.argsort(words(options["seed"], "classes", "", 0, len(pool)), kind="stable")
    texts = tuple(pool[index] for index in order[: known + unknown + options["open_val_classes"]])
    return Texts(texts[:known], texts[known : known + unknown], texts[known + unknown :])


def _manifest(options: dict[str, Any], texts: Texts, counts: Sequence[int]) -> dict[str, Any]:
    """All that the images follow from; matplotlib's version stands beside it, for what it draws is in the digests."""
    source = {
        "dataset": "glyphs",
        "generator": GENERATOR,
        "options": options,
        **{name: list(shown) for name, shown in texts._asdict().items()},
        "far": list(KINDS),
        "train_counts": list(counts),
        "fonts": fonts_checksum(),
        "bitmaps": distinct_characters().digest,
    }
    digest = hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()
    return {**source, "matplotlib": matplotlib.__version__, "sha256": digest}
