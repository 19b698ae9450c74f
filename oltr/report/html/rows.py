"""The rows of the page's large table: a run and a scorer each, with the numbers that can be sorted by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from oltr.report.cells import SHOTS


class Column(NamedTuple):
    """One number of each row: where it stands in an entry, and what its heading says."""

    key: str
    title: str
    says: str
    path: tuple[str, ...]


CLOSED = [
    Column("accuracy", "all", "accuracy of all test images", ("closed", "accuracy")),
    Column("many", "many", "accuracy of many-shot classes", ("closed", "many")),
    Column("medium", "med", "accuracy of medium-shot classes", ("closed", "medium")),
    Column("few", "few", "accuracy of few-shot classes", ("closed", "few")),
]
OPEN = [
    Column("auroc", "AUROC", "AUROC of known against open images", ("entry", "ranking", "auroc")),
    Column("auroc_far", "AUROC far", "AUROC of known against far open images", ("entry", "far", "ranking", "auroc")),
    *(
        Column(
            f"auroc_{shot}",
            f"AUROC {short}",
            f"AUROC of {shot}-shot against open images",
            ("entry", "groups", "auroc", shot),
        )
        for shot, short in zip(SHOTS, ("many", "med", "few"), strict=True)
    ),
    Column(
        "fpr_at_95_known",
        "FPR@95known",
        "open images accepted where 95 % of the known ones are: less is better",
        ("entry", "ranking", "fpr_at_95_known"),
    ),
    Column(
        "frr_at_95_open",
        "FRR@95open",
        "known images rejected where 95 % of the open ones are: less is better",
        ("entry", "ranking", "frr_at_95_open"),
    ),
    Column("oscr", "OSCR", "area of right and accepted against open and accepted", ("entry", "ranking", "oscr")),
    *(
        Column(key, title, f"{says}, at the first operating point", ("point", key, "overall"))
        for key, title, says in (
            ("f_oltr2020", "F oltr2020", "F-measure of OLTR, 2020"),
            ("f_oltr2019", "F oltr2019", "F-measure of OLTR, 2019"),
            ("f_micro", "F micro", "micro F-measure"),
            ("f1_macro_k1", "F1 K+1", "macro F1 over the known classes and the unknown one"),
        )
    ),
    Column(
        "false_rejection_few",
        "few rejected",
        "few-shot images rejected at the first operating point: less is better",
        ("point", "false_rejection", "few"),
    ),
]


def columns(reports: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Those of the closed set, and of the open set those that any run has a number for."""
    found = [row for report in reports for row in _sources(report)]
    return [*CLOSED, *(column for column in OPEN if any(_at(source, column.path) is not None for source in found))]


def rows(report: Mapping[str, Any], asked: Sequence[Column]) -> Iterator[dict[str, Any]]:
    """A row for each scorer that ran; one row without a scorer where none did."""
    for source in _sources(report):
        values = [_at(source, column.path) for column in asked]
        yield {
            "scorer": source["scorer"],
            "values": [None if value is None else round(value, 5) for value in values],
        }


def _sources(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each scorer's entry and its first operating point, beside what the run has without any."""
    sources = []
    for name, entry in (report["open"] or {}).items():
        if "skipped" not in entry:
            point = next(iter(entry["operating_points"].values()), None)
            sources.append({"scorer": name, "closed": report["closed"], "entry": entry, "point": point})
    return sources or [{"scorer": None, "closed": report["closed"]}]


def _at(source: Mapping[str, Any], path: Sequence[str]) -> Any:
    """The value at ``path``, None where a step of it is not there."""
    value: Any = source
    for key in path:
        value = None if value is None else value.get(key)
    return value
