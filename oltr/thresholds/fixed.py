"""A threshold that is given."""

from __future__ import annotations

from oltr.contracts import HeldOut, UserError


class Fixed:
    """A confidence below which an image is rejected, for one scorer whose score is a confidence negated, as msp's is.

    An equal confidence is accepted: the original's rule, with 0.1 there (Liu et al., 2019).
    """

    def __init__(self, *, scorer: str, confidence: float) -> None:
        if not 0 <= confidence <= 1:
            raise UserError(f"threshold fixed: confidence must be from 0 to 1, not {confidence:g}")
        self.scorer = scorer
        self.confidence = confidence
        self.label = f"fixed_{confidence:g}"
        self.rule = f"rejected below a confidence of {confidence:g}"

    def __call__(self, held_out: HeldOut) -> float | None:
        return -self.confidence if held_out.scorer == self.scorer else None
