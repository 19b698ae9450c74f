"""What CFL's command line does to a config whose path says cfl. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from oltr.published.config_file import Keys

DEFAULTS: Mapping[str, float] = {"gamma_pos": 0, "gamma_neg": 4, "gamma_hc": 2, "cyclical_factor": 2}
"""The options of its command line; each overwrites what the config says."""

_KEYS = {"cyclical_factor": "factor"}
"""The loss's parameter that an option sets, where it has another name."""


def rules(path: Path) -> bool:
    """Whether the command line rules over this config: its folder or its file name has cfl in it.

    The published rule looks for it anywhere in the path as it is typed; here a home folder of that name does not count.
    """
    return any("cfl" in part for part in path.parts[-2:])


def overwrite(arguments: Keys, options: Mapping[str, float]) -> list[str]:
    """Set the loss's arguments as the command line does; a note for each that one of its defaults changes."""
    notes = []
    for option, default in DEFAULTS.items():
        key, value = _KEYS.get(option, option), options.get(option, default)
        said = arguments.value(key, None)
        if option not in options and said is not None and said != value:
            notes.append(
                f"{arguments.at(key)}: {said!r} of the config is overwritten by the command line's default {value:g}, "
                f"as published; --{option} {said} keeps it"
            )
        arguments.set(key, value)
    return notes


def folder(path: Path, log_dir: str, dataset: str, options: Mapping[str, float]) -> str:
    """Where the published code writes such a run: by the folder of the config, and by the gammas."""
    below = [after for before, after in pairwise(path.parts[:-1]) if before == "config"]
    gammas = "".join(f"{options.get(name, DEFAULTS[name]):g}" for name in ("gamma_hc", "gamma_pos", "gamma_neg"))
    stage = "meta_embedding_cfl_G" if "meta" in log_dir else "stage1_cfl_G"
    return f"./logs/{below[-1] if below else dataset}/{stage}{gammas}"


def without_effect(path: Path, options: Mapping[str, float]) -> list[str]:
    """A note for each option given with a config that the command line does not rule over."""
    lines = [
        f"--{option} {value:g} has no effect: only a config with cfl in its name takes it, as published"
        for option, value in options.items()
    ]
    if any("cfl" in part for part in path.parts[:-2]):
        lines.append("cfl in its path counts in the file's name and folder only: the gammas are those of the config")
    return lines
