"""What a report says first: the headline scorer, its operating point, and the numbers that tables show of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Headline(NamedTuple):
    """The first scorer of the config that could be run, and its first operating point."""

    scorer: str
    entry: Mapping[str, Any]
    point: Mapping[str, Any]


def headline(report: Mapping[str, Any]) -> Headline | None:
    """None where there is no open set or no scorer with an operating point."""
    for name, entry in (report["open"] or {}).items():
        for point in entry.get("operating_points", {}).values():
            return Headline(name, entry, point)
    return None


def refusal(report: Mapping[str, Any]) -> str | None:
    """Why a run has no place in a leaderboard: something of it was chosen by test data; None where it has one."""
    if not report["run"].get("test_selected"):
        return None
    return " ".join(report["run"].get("test_selected_because") or ["something of it was selected on test data"])


def summary(report: Mapping[str, Any]) -> dict[str, float | None]:
    """One row of a table by column title, shares from 0 to 1; the open ones are None without an open set."""
    closed = {title: report["closed"][key] for title, key in CLOSED.items()}
    chosen = headline(report)
    if chosen is None:
        return closed | dict.fromkeys((*RANKING, *POINT, *REJECTION))
    ranked = {title: chosen.entry["ranking"][key] for title, key in RANKING.items()}
    at_point = {title: chosen.point[key]["overall"] for title, key in POINT.items()}
    far = chosen.entry.get("far")
    rejection = (chosen.point["false_rejection"]["few"], None if far is None else far["ranking"]["auroc"])
    return closed | ranked | at_point | dict(zip(REJECTION, rejection, strict=True))


CLOSED = {"all": "accuracy", "many": "many", "med": "medium", "few": "few"}
RANKING = {"AUROC": "auroc", "FPR@95known": "fpr_at_95_known", "OSCR": "oscr"}
POINT = {"F oltr2020": "f_oltr2020", "F oltr2019": "f_oltr2019", "F micro": "f_micro", "F1 K+1": "f1_macro_k1"}
FAR = "AUROC far"
REJECTION = ("few rejected", FAR)
"""Few-shot test images rejected at the operating point, and the ranking against the far open set where there is one."""
