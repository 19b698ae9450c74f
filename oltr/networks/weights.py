"""State dicts: read from disk, cut to one child, and loaded so that nothing is skipped in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from oltr.contracts import UserError


def child_state(state: Mapping[str, Tensor], child: str) -> dict[str, Tensor]:
    """The entries of one child, without its prefix."""
    return {key.removeprefix(f"{child}."): value for key, value in state.items() if key.startswith(f"{child}.")}


def load_strict(
    module: nn.Module,
    state: Mapping[str, Tensor],
    source: str,
    *,
    new: Sequence[str] = (),
    unused: Sequence[str] = (),
) -> None:
    """Load every entry; only children in ``new`` may be missing, only those in ``unused`` be left over."""
    children = [name for name, _ in module.named_children()]
    for child in new:
        if child not in children:
            raise UserError(f"new: the network has no child {child!r}; it has: {', '.join(children)}")
    own = module.state_dict()
    missing = [key for key in own if key not in state and key.partition(".")[0] not in new]
    extra = [key for key in state if key not in own and key.partition(".")[0] not in unused]
    if missing or extra:
        parts = [
            f"{word} {len(keys)} (first: {keys[0]})"
            for word, keys in (("lacks", missing), ("has besides", extra))
            if keys
        ]
        hint = f"; a child it may lack is listed as new: [{missing[0].partition('.')[0]}]" if missing else ""
        raise UserError(f"weights from {source} do not fit the {type(module).__name__}: it {' and '.join(parts)}{hint}")
    for key, value in own.items():
        if key in state and state[key].shape != value.shape:
            theirs, ours = list(state[key].shape), list(value.shape)
            raise UserError(f"weights from {source} do not fit: {key} is {theirs} there and {ours} here")
    module.load_state_dict({key: state[key] for key in own if key in state}, strict=False)


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from disk; nothing but tensors is read."""
    if not path.is_file():
        raise UserError(f"weights: no such file {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"weights: {path} is not a file of weights: {str(error).splitlines()[0]}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"weights: {path} is not a plain state dict")
    return state
