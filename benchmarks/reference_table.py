"""The original beside ours, as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.reference import ORIGINAL
from benchmarks.table import as_bytes, as_digits, as_spread, head, line

COLUMNS = (
    "row",
    "way",
    "original",
    "ours",
    "original / ours",
    "to reach",
    "a second: original",
    "ours",
    "memory ratio",
)


def markdown(results: Mapping[str, Any]) -> str:
    rows = results["rows"]
    return "\n".join(
        [
            *head(results),
            f"The original: zhmiao/OpenLongTailRecognition-OLTR at {_short(results['original'])}, the fork: "
            f"lnsmith54/CFL at {_short(results['fork'])}, run without CUDA; what is put in their place is listed in "
            "benchmarks/reference_theirs.py. One contender works at a time, in turns. Medians of the rounds, with "
            "smallest and largest.",
            "",
            line(COLUMNS),
            line(["---", "---", *["---:"] * (len(COLUMNS) - 2)]),
            *(line(_cells(row, way)) for row in rows for way in row["original_takes"]),
            "",
            *(f"- **{row['name']}**: {row['what']}; {row['threads']} threads.{_left_out(row)}" for row in rows),
            "",
        ]
    )


def _cells(row: Mapping[str, Any], way: str) -> list[str]:
    seconds, ratio, peaks = row["seconds"], row["original_takes"][way], row["peak_bytes"]
    wanted = row["to_reach"].get(way)
    theirs, ours = peaks.get(ORIGINAL), peaks.get(way)
    return [
        row["name"],
        way.removeprefix("ours, "),
        as_spread(seconds[ORIGINAL]),
        as_spread(seconds[way]),
        f"**{as_digits(ratio['median'])}** ({as_digits(ratio['low'])} to {as_digits(ratio['high'])})",
        "" if wanted is None else f"{wanted:g}",
        *(as_digits(row["counted"] / seconds[name]["median"]) if row["per"] else "" for name in (ORIGINAL, way)),
        f"{as_digits(theirs / ours)} ({as_bytes(theirs)} / {as_bytes(ours)})" if theirs and ours else "",
    ]


def _left_out(row: Mapping[str, Any]) -> str:
    names = ", ".join(row["left_out"])
    return f" Left out, since jemalloc is not there: {names}." if names else ""


def _short(commit: str | None) -> str:
    return "an unknown commit" if commit is None else commit[:7]
