"""Rows and reports made by hand, for tests of tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oltr.bench.results import COLUMNS, F_MEASURES, RANKING, SHOTS

GROUPS = ("overall", *SHOTS)


def row(method: str, seed: int, scorer: str | None = "msp", **found: Any) -> dict[str, Any]:
    """A row with only what is named."""
    assert found.keys() <= set(COLUMNS)
    empty = dict.fromkeys(COLUMNS) | {"suite": "S", "test_selected": False, "seconds": 1.0, "config": "c.yaml"}
    return {**empty, "method": method, "seed": seed, "scorer": scorer, **found}


def numbers(first: float) -> dict[str, float]:
    """One number for each shot group and overall, all different."""
    return {group: first + place / 100 for place, group in enumerate(GROUPS)}


def scored(first: float, *, far: bool = True) -> dict[str, Any]:
    """What a report says of one scorer; every number in it is different."""
    ranking = {key: first + place / 1000 for place, key in enumerate(RANKING)}
    groups = {key: numbers(first + 0.1 * place) for place, key in enumerate(("auroc", *RANKING[3:5]), start=1)}
    point = {
        "threshold": -first,
        **{key: numbers(first + 0.05 * place) for place, key in enumerate(F_MEASURES, start=1)},
        "false_rejection": numbers(first + 0.4),
        "open_set_accuracy": first + 0.45,
        "far_open_accuracy": first + 0.46,
    }
    other = {"ranking": {key: value + 0.5 for key, value in ranking.items()}, "groups": {"auroc": numbers(first + 0.6)}}
    return {
        "ranking": ranking,
        "groups": groups,
        "far": other if far else None,
        "operating_points": {"first": point, "second": {"threshold": 99.0}},
    }


def report(opened: Mapping[str, Any] | None, **changes: Any) -> dict[str, Any]:
    """A report of schema 2 with what results are read from."""
    return {
        "schema": 2,
        "run": {"images_seen": 70, "seconds": 2.5, "test_selected": False, "test_selected_because": []},
        "provenance": {"data": {"sha256": "abc"}, "parameters": 11, "before": {"run": "r", "images_seen": 30}},
        "data": {"images": {"train": 9, "val": 4, "test": 6, "open": 3, "far": 2}},
        "closed": {"accuracy": 0.7, "many": 0.9, "medium": 0.6, "few": None},
        "calibration": {"ece": {"overall": 0.12}, "nll": {"overall": 1.5}},
        "open": opened,
        "open_note": None if opened else "There is no open set.",
        **changes,
    }
