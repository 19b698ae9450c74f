"""The numbers that the published code prints, out of a report: its own names, its threshold, its shares of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FIXED = "fixed_"


def published_summary(report: Mapping[str, Any]) -> str:
    """A line for the closed test set and, where there is an open set, one for both at the config's threshold."""
    closed = report["closed"]
    lines = [f"closed set: {_shown(closed, closed['macro_f1'])}"]
    points = ((report["open"] or {}).get("msp") or {}).get("operating_points", {})
    for name, point in points.items():
        if name.startswith(FIXED):
            at = f"open set, threshold {name.removeprefix(FIXED)}: open-set accuracy {point['open_set_accuracy']:.3f}"
            lines.append(f"{at}, {_shown(point, point['f_oltr2020']['overall'])}")
    return "".join(f"as published, {line}\n" for line in lines)


def _shown(numbers: Mapping[str, Any], f_measure: float | None) -> str:
    named = {
        "accuracy": numbers["accuracy"],
        "F-measure": f_measure,
        "many": numbers["many"],
        "median": numbers["medium"],
        "low": numbers["few"],
    }
    return ", ".join(f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in named.items())
