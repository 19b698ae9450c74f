"""State dicts: cut to one child, held against a network, and loaded so that nothing is skipped in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from oltr.contracts import UserError


@dataclass(frozen=True, kw_only=True)
class Matched:
    """What became of a state dict: entries loaded, those that the network has beyond it, those left over."""

    loaded: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        pieces = [f"{len(self.loaded)} tensors loaded"]
        pieces += [
            f"{what}: {_by_child(keys)}" for what, keys in (("new", self.new), ("not used", self.unused)) if keys
        ]
        return "; ".join(pieces)


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
    hint: bool = True,
) -> Matched:
    """Load every entry; only children in ``new`` may be missing, only those in ``unused`` be left over.

    ``hint`` tells of ``new`` where a child is missing: for a caller whose user can set it.
    """
    children = [name for name, _ in module.named_children()]
    for child in new:
        if child not in children:
            raise UserError(f"new: the network has no child {child!r}; it has: {', '.join(children)}")
    own = module.state_dict()
    missing = [key for key in own if key not in state and _child(key) not in new]
    extra = [key for key in state if key not in own and _child(key) not in unused]
    if missing or extra:
        parts = [
            f"{word} {len(keys)} (first: {keys[0]})"
            for word, keys in (("lacks", missing), ("has besides", extra))
            if keys
        ]
        tip = f"; a child it may lack is listed as new: [{_child(missing[0])}]" if missing and hint else ""
        raise UserError(f"weights from {source} do not fit the {type(module).__name__}: it {' and '.join(parts)}{tip}")
    loaded = {key: state[key] for key in own if key in state}
    for key, value in loaded.items():
        if value.shape != own[key].shape:
            theirs, ours = list(value.shape), list(own[key].shape)
            raise UserError(f"weights from {source} do not fit: {key} is {theirs} there and {ours} here")
    module.load_state_dict(loaded, strict=False)
    return Matched(
        loaded=tuple(loaded),
        new=tuple(key for key in own if key not in state),
        unused=tuple(key for key in state if key not in own),
    )


def _child(key: str) -> str:
    return key.partition(".")[0]


def _by_child(keys: Iterable[str]) -> str:
    return ", ".join(f"{child} ({count})" for child, count in Counter(map(_child, keys)).items())
