"""Shot groups: which classes had many, a medium number of, or few training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from oltr.contracts import UserError
from oltr.metrics.inputs import BoolArray, IntArray

RULES = {"oltr": (100, 20), "strict": (100, 20), "thirds": None, "lists": None}
"""The default thresholds (many, few) of each named rule, None where it has none."""


@dataclass(frozen=True, kw_only=True)
class ShotRule:
    """A named way to part the classes into many, medium and few; made by ``shot_rule``.

    ``oltr``: many >= 100, few <= 20 (Liu et al., 2019). ``strict``: many > 100, few < 20 (Kang et al., 2020).
    ``thirds``: classes by falling training count, equal counts by rising class index, in three parts; of classes
    that do not divide by three, many gets one more, then medium. ``lists``: the class indices given, the rest medium.
    """

    rule: str
    many: int | tuple[int, ...] | None
    few: int | tuple[int, ...] | None

    def groups(self, train_counts: IntArray) -> dict[str, BoolArray]:
        """Masks over the classes, [C] each, for many, medium and few; every class is in exactly one.

        By a threshold, a class without any training image is a few-shot class.
        """
        counts = np.asarray(train_counts)
        if counts.ndim != 1 or counts.size == 0 or counts.dtype.kind not in "iu" or counts.min() < 0:
            raise UserError("train_counts must be the number of training images of each class, [C]")
        many, few = self._ends(counts)
        return {"many": many, "medium": ~(many | few), "few": few}

    def describe(self) -> str:
        """The rule in words, for a report."""
        if isinstance(self.many, int):
            above, below = (">=", "<=") if self.rule == "oltr" else (">", "<")
            return f"{self.rule}: many {above} {self.many}, few {below} {self.few} training images"
        if isinstance(self.many, tuple) and isinstance(self.few, tuple):
            return f"{self.rule}: {len(self.many)} classes listed as many, {len(self.few)} as few, the rest medium"
        return f"{self.rule}: classes in three equal parts by number of training images"

    def _ends(self, counts: IntArray) -> tuple[BoolArray, BoolArray]:
        if isinstance(self.many, int) and isinstance(self.few, int):
            if self.rule == "strict":
                return counts > self.many, counts < self.few
            return counts >= self.many, counts <= self.few
        if isinstance(self.many, tuple) and isinstance(self.few, tuple):
            return _mask("many", self.many, len(counts)), _mask("few", self.few, len(counts))
        parts = np.array_split(np.argsort(-counts.astype(np.int64), kind="stable"), 3)
        return _mask("many", tuple(parts[0].tolist()), len(counts)), _mask("few", tuple(parts[2].tolist()), len(counts))


def shot_rule(
    rule: str = "oltr", *, many: int | Sequence[int] | None = None, few: int | Sequence[int] | None = None
) -> ShotRule:
    """The shot rule of that name; ``many`` and ``few`` replace its thresholds, or are the classes of ``lists``."""
    if rule not in RULES:
        near = get_close_matches(str(rule), RULES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(RULES)}"
        raise UserError(f"no shot rule is called {rule!r}; {hint}")
    if rule == "lists":
        return ShotRule(rule=rule, **_class_lists(many, few))
    defaults = RULES[rule]
    if defaults is None:
        if many is not None or few is not None:
            raise UserError(f"shot rule {rule} takes no thresholds; use oltr or strict with many and few")
        return ShotRule(rule=rule, many=None, few=None)
    above, below = _threshold(rule, "many", many, defaults[0]), _threshold(rule, "few", few, defaults[1])
    if above < below or (above == below and rule == "oltr"):
        raise UserError(f"shot rule {rule}: many ({above}) must be above few ({below}), or a class would be in both")
    return ShotRule(rule=rule, many=above, few=below)


def _threshold(rule: str, name: str, value: object, default: int) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UserError(
            f"shot rule {rule}: {name} must be a number of images, not {value!r}; lists takes class indices"
        )
    return value


def _class_lists(many: object, few: object) -> dict[str, tuple[int, ...]]:
    lists = {}
    for name, classes in (("many", many), ("few", few)):
        if not isinstance(classes, Sequence) or isinstance(classes, str):
            raise UserError(f"shot rule lists: {name} must be a list of class indices, not {classes!r}")
        if any(isinstance(index, bool) or not isinstance(index, int) or index < 0 for index in classes):
            raise UserError(f"shot rule lists: {name} must hold class indices, from 0 on, and nothing else")
        lists[name] = tuple(classes)
    both = sorted(set(lists["many"]) & set(lists["few"]))
    if both:
        raise UserError(f"shot rule lists: class {both[0]} stands in both many and few")
    return lists


def _mask(name: str, classes: tuple[int, ...], num_classes: int) -> BoolArray:
    mask = np.zeros(num_classes, dtype=bool)
    if classes and max(classes) >= num_classes:
        raise UserError(f"shot rule lists: {name} names class {max(classes)}, but there are {num_classes} classes")
    mask[list(classes)] = True
    return mask
