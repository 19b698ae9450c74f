"""The training list read, and training images drawn from it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.long_tail import long_tailed_labels
from benchmarks.rows import Case, Row
from oltr.contracts import Progress
from oltr.data.list_file import ListFile, read_list
from oltr.samplers.class_aware import ClassAware


def list_parsing(folder: Path, *, lines: int, classes: int) -> Case:
    path = folder / "train.txt"
    labels = long_tailed_labels(images=lines, classes=classes)
    names = [f"train/n{label:08d}/n{label:08d}_{index}.JPEG {label}" for index, label in enumerate(labels)]
    path.write_text("\n".join(names) + "\n", encoding="utf-8")

    def twin() -> dict[str, Any]:
        found: dict[str, Any] = {"paths": [], "labels": []}
        with path.open(encoding="utf-8") as file:
            for line in file:
                name, label = line.split()
                found["paths"].append(name)
                found["labels"].append(int(label))
        return found

    def facts(result: ListFile | dict[str, Any]) -> dict[str, Any]:
        if isinstance(result, ListFile):
            return {"paths": list(result.paths), "labels": result.labels.tolist()}
        return result

    return Case(ours=lambda: read_list(path), twin=twin, facts=facts)


class Cycle:
    """Items one at a time, shuffled anew each time all have been given."""

    def __init__(self, items: Iterable[int], chance: random.Random) -> None:
        self._items, self._chance = list(items), chance
        self._place = len(self._items)

    def next(self) -> int:
        if self._place == len(self._items):
            self._chance.shuffle(self._items)
            self._place = 0
        self._place += 1
        return self._items[self._place - 1]


def class_aware(folder: Path, *, images: int, classes: int, per_class: int, draws: int) -> Case:
    """Draws are random, so what must be equal is the law: whole cycles of the classes, and of each class's images."""
    labels = long_tailed_labels(images=images, classes=classes)
    sampler = ClassAware(
        labels=torch.from_numpy(labels),
        num_classes=classes,
        generator=torch.Generator().manual_seed(0),
        images_per_class=per_class,
        epoch_images=draws,
    )
    chance = random.Random(0)
    cycles = [Cycle(np.flatnonzero(labels == label).tolist(), chance) for label in range(classes)]
    turns = Cycle(range(classes), chance)

    def twin() -> list[int]:
        drawn: list[int] = []
        while len(drawn) < draws:
            visited = cycles[turns.next()]
            drawn += [visited.next() for _ in range(per_class)]
        return drawn

    def facts(result: Any) -> dict[str, Any]:
        drawn = np.asarray(result)
        times = np.bincount(drawn, minlength=images)
        return {
            "classes of each cycle": np.sort(labels[drawn].reshape(-1, classes, per_class), axis=1),
            "draws of each image, by class": np.stack([labels, times])[:, np.lexsort([times, labels])],
        }

    return Case(ours=lambda: sampler.indices(Progress(epoch=0, epochs=1)), twin=twin, facts=facts)


ROWS = (
    Row(
        name="list_parsing",
        what="a list of {lines:,} images read; ours also checks each line, looks for repeated images, hashes the file",
        twin="a Python loop that splits each line",
        make=list_parsing,
        full={"lines": 115_846, "classes": 1000},
        tiny={"lines": 30, "classes": 4},
        per="lines",
        memory=True,
    ),
    Row(
        name="class_aware_sampler",
        what="{draws:,} draws, {per_class} images of a class in turn, from {images:,} images of {classes:,} classes",
        twin="a Python iterator, an image at a time",
        make=class_aware,
        full={"images": 115_846, "classes": 1000, "per_class": 4, "draws": 1_280_000},
        tiny={"images": 23, "classes": 5, "per_class": 4, "draws": 120},
        per="draws",
    ),
)
