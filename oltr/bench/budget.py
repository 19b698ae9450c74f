"""Which methods may be compared: those that saw as much, are as large, began alike and were tested alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from oltr.bench.results import Row, methods_in, of

TOLERANCE = 0.05
AMOUNTS = {"images_seen": "seen {} times the images of", "parameters": "{} times the parameters of"}
ALIKE = {
    "pretraining": "other pretraining than",
    "data": "been run on other data than",
    "test_images": "other test images than",
    "open_images": "other open images than",
    "far_images": "other far open images than",
}
Of = Callable[[str, str], Any]


def warnings(rows: Sequence[Row], reference: str | None = None) -> list[str]:
    """One line for each way in which methods differ from ``reference``, or from the first; none where all is fair."""
    methods = methods_in(rows)
    if not methods:
        return []
    reference = reference if reference in methods else methods[0]
    others = [method for method in methods if method != reference]

    def amount(method: str, key: str) -> Any:
        return _one([row[key] for row in of(rows, method, None)])

    told = []
    for key, words in AMOUNTS.items():
        for text, found in _together(_times(amount, key, reference, others)).items():
            told.append(_line(found, words.format(text), reference))
        unknown = [method for method in methods if amount(method, key) is None]
        if unknown and len(unknown) < len(methods):
            told.append(f"not known to be comparable: the {key.replace('_', ' ')} of {_names(unknown)}")
    for key, words in ALIKE.items():
        found = [method for method in others if amount(method, key) != amount(reference, key)]
        if found:
            told.append(_line(found, words, reference))
    return told


def _one(values: Sequence[Any]) -> Any:
    """What the seeds of a method have in common: the mean of amounts, and a tuple of what is not the same."""
    if len(set(values)) == 1:
        return values[0]
    if all(isinstance(value, int | float) for value in values):
        return sum(values) / len(values)
    return tuple(sorted(map(str, values)))


def _times(amount: Of, key: str, reference: str, others: Sequence[str]) -> dict[str, str]:
    """How many times the reference's amount each method has, where that is more than 5 % off."""
    base = amount(reference, key)
    if not isinstance(base, int | float) or base == 0:
        return {}
    found = {method: amount(method, key) for method in others}
    return {
        method: f"{value / base:.3g}"
        for method, value in found.items()
        if isinstance(value, int | float) and abs(value - base) > TOLERANCE * base
    }


def _together(texts: Mapping[str, str]) -> dict[str, list[str]]:
    """Methods of which the same is said."""
    found: dict[str, list[str]] = {}
    for method, text in texts.items():
        found.setdefault(text, []).append(method)
    return found


def _line(methods: Sequence[str], words: str, reference: str) -> str:
    have = "has" if len(methods) == 1 else "have"
    return f"not comparable: {_names(methods)} {have} {words} {reference!r}"


def _names(methods: Sequence[str]) -> str:
    """Quoted, for a name may hold a comma."""
    quoted = [repr(method) for method in methods]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
