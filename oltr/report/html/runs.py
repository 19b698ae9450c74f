"""What the page knows of each run: curves, operating points, classes and calibration, thinned and in whole numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oltr.metrics.f_measures import F_MEASURES
from oltr.report.cells import SHOTS
from oltr.report.open_section import threshold as threshold_words

REJECTED = ("known", "many", "medium", "few", "open", "far")
CLASS_COLUMNS = ("accuracy", "precision", "f1", "accepted")
ENTRIES_IN_FULL = 30
"""Up to so many scored entries a page holds every point of a curve; with more of them fewer, to keep the file small."""
FEWEST_POINTS = 40

Shares = Sequence[float | None]


def run_data(report: Mapping[str, Any], tables: list[dict[str, Any]], *, entries: int) -> dict[str, Any]:
    """One run; its class names go to ``tables`` unless those of an earlier run are the same."""
    step = max(1.0, entries / ENTRIES_IN_FULL)
    scored = {name: entry for name, entry in (report["open"] or {}).items() if "skipped" not in entry}
    return {
        "note": report["open_note"],
        "scorers": [{"name": name, **_scorer(entry, step)} for name, entry in scored.items()],
        "confusion": _confusion(report["confusion"]),
        "classes": _classes(report["classes"], tables),
        "calibration": _calibration(report["calibration"]),
    }


def whole(values: Shares | None) -> list[int | None] | None:
    """Shares in ten-thousandths: four digits are more than a screen shows, and half the characters."""
    return None if values is None else [None if value is None else round(value * 10000) for value in values]


def precise(values: Shares) -> list[float | None]:
    """The same in ten-thousandths with a remainder: what is printed is rounded once, as everywhere in the report."""
    return [None if value is None else round(value * 10000, 4) for value in values]


def thin(count: int, step: float) -> list[int]:
    """Indices of the points kept of ``count``, evenly spread, both ends among them."""
    kept = min(count, max(FEWEST_POINTS, round(count / step)))
    if kept < 2:
        return list(range(count))
    return [round(index * (count - 1) / (kept - 1)) for index in range(kept)]


def _scorer(entry: Mapping[str, Any], step: float) -> dict[str, Any]:
    curves = entry["curves"]
    points = [_point(label, point) for label, point in entry["operating_points"].items()]
    if not curves:
        return {"curves": None, "points": points}
    grid = thin(len(curves["f_measures"]["threshold"]), step)
    far = (entry.get("far") or {}).get("roc")
    return {
        "points": points,
        "curves": {
            "threshold": [float(f"{curves['f_measures']['threshold'][index]:.5g}") for index in grid],
            "f": {name: whole(_kept(curves["f_measures"][name], grid)) for name in F_MEASURES},
            "rejection": {name: whole(_kept(curves["rejection"].get(name), grid)) for name in REJECTED},
            "roc": _roc(curves["roc"], step),
            "far_roc": None if far is None else _roc(far, step),
            "histogram": {
                "edges": [curves["histogram"]["edges"][0], curves["histogram"]["edges"][-1]],
                "shares": {name: whole(shares) for name, shares in curves["histogram"]["shares"].items()},
            },
        },
    }


def _kept(values: Shares | None, indices: Sequence[int]) -> Shares | None:
    return None if values is None else [values[index] for index in indices]


def _roc(curve: Mapping[str, Any], step: float) -> dict[str, Any]:
    indices = thin(len(curve["open_accepted"]), 2 * step)
    return {name: whole(_kept(curve[name], indices)) for name in ("open_accepted", "known_accepted")}


def _point(label: str, point: Mapping[str, Any]) -> dict[str, Any]:
    rejected = dict(zip(("known", *SHOTS), _by_group(point["false_rejection"]), strict=True))
    rejected |= {"open": point["open_set_accuracy"], "far": point.get("far_open_accuracy")}
    return {
        "label": label,
        "rule": point["rule"],
        "threshold": point["threshold"],
        "words": threshold_words(point),
        "f": dict(zip(F_MEASURES, precise([point[name]["overall"] for name in F_MEASURES]), strict=True)),
        "rejection": dict(zip(REJECTED, precise([rejected[name] for name in REJECTED]), strict=True)),
        "accuracy": precise([point["accuracy"], *(point[shot] for shot in SHOTS)]),
        "confusion": _confusion(point["confusion"]),
    }


def _by_group(values: Mapping[str, float | None]) -> list[float | None]:
    return [values[group] for group in ("overall", *SHOTS)]


def _confusion(table: Mapping[str, Mapping[str, float | None]]) -> dict[str, Any]:
    columns = list(next(iter(table.values())))
    return {
        "columns": columns,
        "rows": list(table),
        "shares": [precise([row[column] for column in columns]) for row in table.values()],
    }


def _classes(classes: Sequence[Mapping[str, Any]], tables: list[dict[str, Any]]) -> dict[str, Any]:
    table = {key: [row[key] for row in classes] for key in ("name", "train_images", "shot", "test_images")}
    if table not in tables:
        tables.append(table)
    measured = {key: whole([row[key] for row in classes]) for key in CLASS_COLUMNS}
    return {"table": tables.index(table), **measured}


def _calibration(measured: Mapping[str, Any]) -> dict[str, Any]:
    by_group = {key: value for key, value in measured.items() if key != "reliability"}
    rounded = {
        key: [None if value is None else round(value, 5) for value in _by_group(values)]
        for key, values in by_group.items()
    }
    return {
        "measures": rounded,
        "reliability": {name: whole(values) for name, values in measured["reliability"].items()},
    }
