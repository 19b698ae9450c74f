"""A network pair cut in two: a frozen part, whose values can be kept, and what trains on them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from oltr.contracts import UserError
from oltr.networks.pair import NetworkPair

FEATURES = "features"
"""The cut behind the whole backbone, which every backbone has."""


class Division:
    """The pair on both sides of the last cut that all of the backbone's trained children stand beyond.

    A backbone that can be cut before its end says so by ``cuts``, ``until`` and ``beyond``: the children beyond each
    cut, the last cut first; from images to a cut; from there to features.
    """

    def __init__(self, pair: NetworkPair, trained: Sequence[str]) -> None:
        self.pair = pair
        self.cut, self._beyond = _cut(pair.backbone, trained)
        self.rest = _rest(pair, self.cut)

    def until(self, images: Tensor) -> Tensor:
        """The frozen part's values of images, [B, ...], in the precision in which it computes."""
        backbone: Any = self.pair.backbone
        work = backbone if self.cut == FEATURES else partial(backbone.until, self.cut)
        return self.pair.lowered(work, images)

    def frozen_state(self) -> dict[str, Tensor]:
        """All that the values depend on, of what the backbone has learned."""
        state: dict[str, Tensor] = self.pair.backbone.state_dict()
        return {key: value for key, value in state.items() if key.partition(".")[0] not in self._beyond}

    def taken(self, stored: torch.dtype) -> torch.dtype:
        """In which precision the trained part takes values that are stored in another."""
        return stored if stored == self.pair.autocast_to else torch.float32


class _Beyond(nn.Module):
    """A backbone from a cut on."""

    def __init__(self, backbone: nn.Module, cut: str) -> None:
        super().__init__()
        self.backbone = backbone
        self._cut = cut

    def forward(self, values: Tensor) -> Tensor:
        features: Tensor = self.backbone.beyond(self._cut, values)  # type: ignore[operator]
        return features


def _cut(backbone: Any, trained: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Name of the last cut that serves, and the children beyond it."""
    if not trained:
        return FEATURES, ()
    cuts = getattr(backbone, "cuts", {})
    for cut, beyond in cuts.items():
        if set(trained) <= set(beyond):
            return cut, beyond
    furthest = list(cuts.values())[-1] if cuts else ()
    early = next(child for child in trained if child not in furthest)
    able = [child for child, _ in backbone.named_children() if child in furthest]
    told = f"beyond its cuts stand {', '.join(able)}" if able else "it has no `cuts`, so write backbone.only: []"
    raise UserError(f"feature_cache: the backbone's {early!r} trains, and what comes out of it changes; {told}")


def _rest(pair: NetworkPair, cut: str) -> NetworkPair:
    """The same pair, sharing all that it has, as a function of the values at a cut."""
    rest = NetworkPair(nn.Identity() if cut == FEATURES else _Beyond(pair.backbone, cut), pair.classifier, pair.memory)
    rest.compute_in(pair.autocast_to, channels_last=False)
    rest._resting = pair._resting  # what they share rests in both
    return rest
