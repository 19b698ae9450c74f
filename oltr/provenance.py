"""Where a result comes from: code, parts, data, machine. Without it, it is not a result."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from oltr import __version__, plugins
from oltr.config import plain
from oltr.stage_config import PART_FIELDS, Part, StageConfig


def collect(config: StageConfig, device: torch.device, manifest: Mapping[str, Any], command: str) -> dict[str, Any]:
    """Everything but what a run costs, as plain data."""
    return {
        "oltr": __version__,
        "git_commit": git_commit(Path(__file__).parent),
        "command": command,
        "seed": config.seed,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("torch", "torchvision", "numpy", "pillow", "matplotlib")},
        "parts": parts(config),
        "config": plain(config),
        "data": dict(manifest),
        "hardware": hardware(device),
    }


def parts(config: StageConfig) -> list[dict[str, str]]:
    """Kind, name, distribution and version of every part that the config names."""
    named = [(kind, getattr(config, key)) for key, kind in PART_FIELDS.items()]
    named += [(plugins.LOSSES, loss) for loss in config.losses]
    return [*_told(named), *evaluation_parts(config)]


def evaluation_parts(config: StageConfig) -> list[dict[str, str]]:
    """The same of the parts that make the report from stored predictions."""
    named: list[tuple[plugins.Kind, Part]] = [(plugins.SCORERS, scorer) for scorer in config.evaluation.scorers]
    return _told([*named, *((plugins.THRESHOLDS, threshold) for threshold in config.evaluation.thresholds)])


def rescored(provenance: Mapping[str, Any], config: StageConfig) -> dict[str, Any]:
    """The provenance of predictions whose report is now made by other parts than when they were."""
    scoring = {kind.noun for kind in (plugins.SCORERS, plugins.THRESHOLDS)}
    kept = [part for part in provenance.get("parts", []) if part["kind"] not in scoring]
    return {**provenance, "parts": [*kept, *evaluation_parts(config)]}


def _told(named: Sequence[tuple[plugins.Kind, Part]]) -> list[dict[str, str]]:
    found = [(kind, kind.find(part.name)) for kind, part in named]
    return [
        {"kind": kind.noun, "name": plugin.name, "distribution": plugin.distribution, "version": plugin.version}
        for kind, plugin in found
    ]


def hardware(device: torch.device) -> dict[str, Any]:
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "device": str(device),
        "gpus": gpus if device.type == "cuda" else [],
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
    }


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def git_commit(folder: Path) -> str | None:
    """The commit of the checkout that tracks ``folder``, with `+changes` where it was edited; None outside one."""
    try:
        _git(folder, "ls-files", "--error-unmatch", "__init__.py")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
        return _git(folder, "rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()
