"""The published positional calls: what each value in a dictionary becomes by its place. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oltr.published.config_file import Keys

REQUIRED: Any = object()


@dataclass(frozen=True)
class Maker:
    """The parameters of a published ``create_model`` or ``create_loss``, in order, with their defaults."""

    parameters: Mapping[str, Any]
    takes_more: bool = False

    def bind(self, keys: Keys, notes: list[str], *added: Any) -> dict[str, Any]:
        """The parameters by name, for the values of ``keys`` in order and then those ``added``."""
        given = keys.in_order()
        values, names = [*given.values(), *added], list(self.parameters)
        if len(values) > len(names) and not self.takes_more:
            raise keys.error(
                list(given)[-1] if given else "",
                f"the published call takes {len(names) - len(added)} values ({', '.join(names)}), not {len(given)}",
            )
        for key, name in zip(given, names, strict=False):
            if key in names and key != name and name != "test":
                notes.append(
                    f"{keys.at(key)} stands where {name} does, and is read as that: order counts, as published"
                )
            if name == "test":
                notes.append(f"{keys.at(key)} {_of_test(given[key])}")
        beyond = list(given)[len(names) :]
        notes += [f"{keys.at(key)} has no effect: the published call takes and ignores it" for key in beyond]
        bound = {**self.parameters, **dict(zip(names, values, strict=False))}
        for name, value in bound.items():
            if value is REQUIRED:
                raise keys.error(name, "is missing")
        return bound


def _of_test(value: Any) -> str:
    """What a value of the config does that stands where the published call adds whether this is a test."""
    if value:
        return "stands where `test` does: no weights are loaded, as published"
    return "stands where `test` does, and has no effect"
