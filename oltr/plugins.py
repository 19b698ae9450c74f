"""Parts found through entry points: listed without importing, checked before running, built with what they ask for."""

from __future__ import annotations

import importlib
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any

from oltr.options import OptionError, declared, fits, is_schedule, say

OWN = "oltr"
"""The distribution whose parts a plain name means first."""


class PluginError(OptionError):
    """A part that cannot be found, imported or called as the config asks; one line."""


@dataclass(frozen=True, kw_only=True, order=True)
class Plugin:
    """One offer of a part, as its distribution declares it."""

    group: str
    name: str
    value: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


def installed(group: str) -> tuple[Plugin, ...]:
    """Every part that an installed distribution declares under ``group``."""
    return tuple(
        sorted(
            Plugin(
                group=group,
                name=point.name,
                value=point.value,
                distribution=point.dist.metadata["Name"] if point.dist else "unknown",
                version=point.dist.version if point.dist else "unknown",
            )
            for point in entry_points(group=group)
        )
    )


def nearest(word: str, words: Iterable[str]) -> str:
    """The hint `; did you mean …?` for a word that is none of ``words``, or what there is to choose from."""
    words = sorted(set(words))
    close = get_close_matches(word, words, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(words)}" if words else ""


class Kind:
    """One kind of part: an entry-point group, and the names that the run gives and a config may not set."""

    def __init__(
        self,
        group: str,
        *,
        given: tuple[str, ...] = (),
        scalars: Kind | None = None,
        scheduled: bool = False,
        find: Callable[[str], tuple[Plugin, ...]] = installed,
    ) -> None:
        self.group = group
        self.given = given
        plural = group.rpartition(".")[2]
        self.noun = plural[:-2] if plural.endswith("sses") else plural.removesuffix("s")
        self._scalars = scalars
        self._scheduled = scheduled  # whether the run itself turns schedules into numbers for the part
        self._find = find

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """Every part of this kind; nothing is imported."""
        return self._find(self.group)

    def find(self, name: str) -> Plugin:
        """The one part that ``name`` means: ``name``, ``distribution:name`` or ``module.path:attribute``."""
        if not isinstance(name, str) or not name:
            raise PluginError(f"a {self.noun} is named by a word, not {name!r}")
        owner, _, rest = name.rpartition(":")
        offers = [plugin for plugin in self.plugins if plugin.name == rest and owner in ("", plugin.distribution)]
        if len(offers) == 1:
            return offers[0]
        if owner:
            return Plugin(
                group=self.group, name=name, value=name, distribution=owner.partition(".")[0], version="unpackaged"
            )
        own = [plugin for plugin in offers if plugin.distribution == OWN]
        if own:
            return own[0]
        if offers:
            choices = " or ".join(f"'{plugin.distribution}:{plugin.name}'" for plugin in offers)
            raise PluginError(f"{self.noun} {name!r} is offered by {len(offers)} packages: write {choices}")
        if not self.plugins:
            raise PluginError(
                f"no {self.noun} {name!r}, and the group {self.group!r} is empty: not installed? run `pip install -e .`"
            )
        raise PluginError(f"no {self.noun} {name!r}{nearest(name, (plugin.name for plugin in self.plugins))}")

    def load(self, name: str) -> Callable[..., Any]:
        """The part itself, imported."""
        plugin = self.find(name)
        module, _, attribute = plugin.value.partition(":")
        try:
            part: Any = importlib.import_module(module)
            for step in attribute.split("."):
                part = getattr(part, step)
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else "no reason given"
            raise PluginError(
                f"{self.noun} {plugin} cannot be imported from {plugin.value!r}: {type(error).__name__}: {reason}"
                f"{self._others_of(plugin)}"
            ) from error
        if not callable(part):
            raise PluginError(
                f"{self.noun} {plugin} at {plugin.value!r} is a {type(part).__name__}, not a class or function"
            )
        return typing.cast("Callable[..., Any]", part)

    def check(self, name: str, options: Mapping[str, Any]) -> Callable[..., Any]:
        """Import the part and hold ``options`` against its signature; returns the part."""
        plugin, part = self.find(name), self.load(name)
        parameters = declared(part, f"{self.noun} {plugin}")
        for key, value in options.items():
            place = f"{self.noun} {plugin}: option {key!r}"
            if key in self.given:
                raise PluginError(f"{place} is given by the run and cannot be set")
            if key not in parameters:
                known = [known for known in parameters if known not in self.given]
                raise PluginError(f"{place} is unknown{nearest(key, known) or '; it takes no options'}")
            hint = parameters[key][1]
            if not fits(0.5 if self._scheduled and is_schedule(value) else value, hint):
                raise PluginError(f"{place} takes {say(hint)}, not {value!r}")
            self._check_schedule(value, place)
        missing = [
            key
            for key, (required, _) in parameters.items()
            if required and key not in options and key not in self.given
        ]
        if missing:
            raise PluginError(f"{self.noun} {plugin}: option {missing[0]!r} is required")
        return part

    def build(self, name: str, options: Mapping[str, Any], **given: Any) -> Any:
        """The part called with its options, schedules built, and those of the ``given`` values that it declares."""
        part = self.check(name, options)
        asks = declared(part, f"{self.noun} {name!r}")
        handed = {key: value for key, value in given.items() if key in asks}
        lacking = [key for key, (required, _) in asks.items() if required and key in self.given and key not in given]
        if lacking:
            raise PluginError(f"{self.noun} {self.find(name)} asks for {lacking[0]!r}, which this run does not give")
        return part(**{key: self.scalar(value) for key, value in options.items()}, **handed)

    def scalar(self, value: Any) -> Any:
        """``value``, or the schedule it describes: a mapping with a ``name``."""
        if is_schedule(value):
            schedules = self._scalars or self
            return schedules.build(value["name"], {key: option for key, option in value.items() if key != "name"})
        return value

    def _others_of(self, plugin: Plugin) -> str:
        """The hint where `package:name` was meant, but that package offers no such part."""
        owner, _, name = plugin.value.partition(":")
        offered = [other.name for other in self.plugins if other.distribution == owner]
        return f"; package {owner} offers no {self.noun} {name!r}{nearest(name, offered)}" if offered else ""

    def _check_schedule(self, value: Any, place: str) -> None:
        if not is_schedule(value):
            return
        try:
            (self._scalars or self).check(
                value["name"], {key: option for key, option in value.items() if key != "name"}
            )
        except OptionError as error:
            raise PluginError(f"{place}: {error}") from error


SCHEDULES = Kind("oltr.schedules")
DATASETS = Kind("oltr.datasets", given=("root",), scalars=SCHEDULES)
SAMPLERS = Kind("oltr.samplers", given=("labels", "num_classes", "generator"), scalars=SCHEDULES)
TRANSFORMS = Kind("oltr.transforms", scalars=SCHEDULES)
BACKBONES = Kind("oltr.backbones", given=("image_size",), scalars=SCHEDULES)
CLASSIFIERS = Kind("oltr.classifiers", given=("feature_dim", "num_classes"), scalars=SCHEDULES)
LOSSES = Kind("oltr.losses", given=("feature_dim", "num_classes", "train_counts"), scalars=SCHEDULES)
OPTIMIZERS = Kind("oltr.optimizers", given=("params",), scalars=SCHEDULES, scheduled=True)
STAGES = Kind("oltr.stages", scalars=SCHEDULES)
SCORERS = Kind("oltr.scorers", given=("num_classes", "train_counts"), scalars=SCHEDULES)
THRESHOLDS = Kind("oltr.thresholds", scalars=SCHEDULES)

KINDS = (
    DATASETS,
    SAMPLERS,
    TRANSFORMS,
    BACKBONES,
    CLASSIFIERS,
    LOSSES,
    STAGES,
    SCHEDULES,
    OPTIMIZERS,
    SCORERS,
    THRESHOLDS,
)
