"""How a classifier takes over weights: all of them or none, and what differs is said."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from oltr.contracts import UserError


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], *, part: str) -> None:
    """Load ``state`` into ``module``; any key or shape that differs is an error, and then nothing is loaded."""
    own = module.state_dict()
    if state.keys() != own.keys():
        raise UserError(f"{part} takes over weights named {listed(own)}; the stage before has {listed(state)}")
    for key, value in own.items():
        if state[key].shape != value.shape:
            raise UserError(
                f"{part} cannot take over {key}: it is {list(value.shape)} here, {list(state[key].shape)} before; "
                "stages of one chain have the same classes and the same feature_dim"
            )
    module.load_state_dict(state)


def listed(state: Mapping[str, Tensor]) -> str:
    """The keys of ``state`` for an error's one line."""
    shown = [*list(state)[:6], "..."] if len(state) > 6 else list(state)
    return ", ".join(shown) or "none"
