"""A part that a published config names by its file: ours where the file is published, else a user's own. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oltr.contracts import UserError
from oltr.published.config_file import Keys
from oltr.published.originals import changed, checksum, published_name


@dataclass(frozen=True)
class NamedFile:
    """A section of the config and the key in it that names the file."""

    section: Keys
    key: str

    @property
    def file(self) -> str:
        return self.section.word(self.key)

    @property
    def published(self) -> str | None:
        """The published file that it is, by name and text."""
        return None if changed(self.file) else published_name(self.file)

    @property
    def at(self) -> str:
        return self.section.at(self.key)

    def error(self, message: str) -> UserError:
        return self.section.error(self.key, message)

    def wrapped(self, wrapper: str, parameters: str, notes: list[str]) -> dict[str, Any]:
        """The part that calls a user's own file with its parameters in order.

        Where the file has a published name, a note says what tells it from the published one. Its checksum makes an
        edited file another config.
        """
        if published_name(self.file) is not None:
            if not changed(self.file):
                raise self.error(f"{self.file} is the published file of another kind of part")
            notes.append(f"{self.at}: {' and '.join(changed(self.file))} is not the published text, so yours runs")
        arguments = list(self.section.section(parameters).in_order().values())
        part = {"name": f"oltr.published.{wrapper}", "file": self.file, "arguments": arguments}
        return {**part, **({"sha256": checksum(self.file)} if Path(self.file).is_file() else {})}


@dataclass(frozen=True)
class MemoryUse:
    """What a config does with class centroids."""

    present: bool
    read: bool
    """Whether the classifier is given them."""
    means: bool
    """Whether they start as the class means."""


def step_schedule(optim: Keys, training: Keys) -> dict[str, Any]:
    """The settings of a parameter group: its own numbers, and the step schedule that all groups share."""
    steps = training.section("scheduler_params")
    lr = {"name": "step", "value": optim.number("lr")}
    lr |= {"every": steps.whole("step_size", low=1), "factor": steps.number("gamma")}
    return {"lr": lr, "momentum": optim.number("momentum"), "weight_decay": optim.number("weight_decay")}


def demand_sizes(params: Keys, values: dict[str, Any], training: Keys, width: int) -> None:
    """Raise UserError where a part is made for other features or classes than there are."""
    classes = training.whole("num_classes", low=1)
    for name, wanted, what in (("feat_dim", width, "features"), ("num_classes", classes, "classes")):
        if values[name] != wanted:
            raise params.error(name, f"{values[name]!r}, but there are {wanted} {what}")
