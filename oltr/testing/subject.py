"""The part under check: built as a run builds it, and blamed in one line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from oltr.options import OptionError, declared, fits, say
from oltr.plugins import Kind, nearest


class Subject:
    """A part of one kind with the options of a config; making it checks the rules that hold for every part."""

    def __init__(self, kind: Kind, part: str | Callable[..., Any], options: Mapping[str, Any] | None) -> None:
        self.kind = kind
        self.part = kind.load(part) if isinstance(part, str) else part
        self.options = dict(options or {})
        self.place = f"{kind.noun} {part if isinstance(part, str) else getattr(part, '__name__', repr(part))}"
        try:
            self.asks = declared(self.part, self.place)
        except OptionError as error:
            raise AssertionError(str(error)) from None
        self._check_signature()

    def demand(self, holds: bool, fault: str) -> None:
        if not holds:
            raise AssertionError(f"{self.place}: {fault}")

    def call(self, case: str, function: Callable[..., Any], *arguments: Any, **given: Any) -> Any:
        """What ``function`` returns; an error of the part's own becomes one line that tells the case."""
        try:
            return function(*arguments, **given)
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else "no reason given"
            raise AssertionError(f"{self.place}: {case}: {type(error).__name__}: {reason}") from error

    def build(self, **given: Any) -> Any:
        """The part from its options and those of the given values that it declares."""
        handed = {key: value for key, value in given.items() if key in self.asks}
        options = {key: self.kind.scalar(value) for key, value in self.options.items()}
        return self.call("built from its options", self.part, **options, **handed)

    def demand_finite(self, values: Tensor, what: str) -> None:
        self.demand(bool(torch.isfinite(values).all()), f"{what} not finite")

    def demand_close(self, one: Tensor, other: Tensor, fault: str, *, tolerance: float = 1e-4) -> None:
        same = one.shape == other.shape and torch.allclose(one, other, rtol=tolerance, atol=tolerance)
        self.demand(same, fault)

    def _check_signature(self) -> None:
        for key, parameter in inspect.signature(self.part).parameters.items():
            self.demand(
                parameter.kind is parameter.KEYWORD_ONLY, f"takes {key!r} by position as well: write `*, {key}`"
            )
        own = [key for key in self.asks if key not in self.kind.given]
        for key, value in self.options.items():
            self.demand(key in own, f"takes no option {key!r}{nearest(key, own)}")
            hint = self.asks[key][1]
            self.demand(fits(value, hint), f"option {key!r} takes {say(hint)}, not {value!r}")
        lacking = [key for key in own if self.asks[key][0] and key not in self.options]
        self.demand(not lacking, f"option {(lacking or [''])[0]!r} is required: give it in `options`")


def copied(*tensors: Tensor | None) -> list[Tensor | None]:
    """What tensors hold now, to compare with what they hold later."""
    return [None if tensor is None else tensor.detach().clone() for tensor in tensors]


def unchanged(before: list[Tensor | None], *now: Tensor | None) -> bool:
    pairs = zip(before, now, strict=True)
    return all(old is None or (new is not None and torch.equal(old, new)) for old, new in pairs)
