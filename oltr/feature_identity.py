"""What tells cached values apart beside weights and data: the code that makes them, and what it draws."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from oltr.contracts import Transform
from oltr.plugins import OWN, Kind
from oltr.stage_config import Part


def told(kind: Kind, part: Part) -> list[Any]:
    """A part's version and options; of one that is not ours also the file it stands in, which its user may edit."""
    plugin = kind.find(part.name)
    source = None if plugin.distribution == OWN else _checksum_of_module(kind.load(part.name))
    return [plugin.distribution, plugin.version, plugin.name, dict(part.options), source]


def draws(transform: Transform, image: Tensor) -> bool:
    """Whether what a transform makes of an image hangs on a seed."""
    generator = torch.Generator()
    unused = generator.get_state()
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        transform.batch(transform.image(image).unsqueeze(0), generator)
        return not (torch.equal(before, torch.get_rng_state()) and torch.equal(unused, generator.get_state()))


def _checksum_of_module(part: Any) -> str | None:
    file = getattr(sys.modules.get(getattr(part, "__module__", "")), "__file__", None)
    return None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()
