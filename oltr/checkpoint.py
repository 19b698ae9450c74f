"""Files of a run's weights and whole state: written atomically, read with weights_only, refused if not whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from oltr.atomic import replacing
from oltr.contracts import UserError


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Tensors and plain data, atomically."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save(dict(content), file)


def load(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """What ``save`` wrote, on the CPU; a file that is not whole or lacks one of ``keys`` is a UserError."""
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; --fresh on the stage's config runs it anew")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"{path}: not a readable checkpoint ({type(error).__name__}); --fresh on the stage's config runs it anew"
        ) from error
    lacking = [key for key in keys if not isinstance(content, dict) or key not in content]
    if lacking:
        raise UserError(f"{path}: not a checkpoint of this suite: it lacks {lacking[0]!r}")
    return dict(content)


def weights_checksum(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of a state dict: equal weights have equal checksums, whenever they were written."""
    digest = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().cpu().contiguous()
        digest.update(f"{key} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return digest.hexdigest()


def seed_of(*place: int) -> int:
    """A seed of 63 bits, unrelated between any two places."""
    text = "/".join(map(str, place))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def random_state() -> dict[str, Any]:
    """Torch's global generators: what dropout and a user's own code draw from."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}


def set_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
