"""The small pieces of Markdown that reports are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SHOTS = ("many", "medium", "few")


def rows(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table: the first column to the left, the others to the right."""
    marks = ["---", *["---:"] * (len(titles) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (titles, marks, *lines))


def details(title: str, content: str) -> str:
    """``content``, folded under ``title``."""
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"


def percent(value: float | None) -> str:
    """A share from 0 to 1 in percent; – where it is not defined."""
    return "–" if value is None else f"{value * 100:.1f}"


def decimal(value: float | None) -> str:
    """A number that is no share; – where it is not defined."""
    return "–" if value is None else f"{value:.3f}"


def cell(text: object) -> str:
    """``text`` as it is, in a table or a heading: nothing in it is Markdown or HTML."""
    plain = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_|\[\]$~#])", r"\\\1", plain)
