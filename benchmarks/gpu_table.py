"""The figures of one GPU as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.gpu import WANTED_IDLE, WANTED_SHARE
from benchmarks.table import as_bytes, as_digits, head, line

COLUMNS = ("row", "batch", "fed from the cache, images/s", "batch in memory", "share", "idle", "waiting", "peak memory")


def markdown(results: Mapping[str, Any]) -> str:
    return "\n".join(
        [
            *head(results),
            f"To reach: a share of {WANTED_SHARE:.0%} or more, idle less than {WANTED_IDLE:.0%}. Idle is the share of "
            "an epoch in which no kernel runs; waiting is that in which the loop waits for data.",
            "",
            line(COLUMNS),
            line(["---", *["---:"] * (len(COLUMNS) - 1)]),
            *(line(_cells(row)) for row in results["rows"]),
            "",
        ]
    )


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{row['name']}, {row['precision']}",
        str(row["sizes"]["batch"]),
        as_digits(row["images_per_second"]["fed"]),
        as_digits(row["images_per_second"]["memory"]),
        f"{row['share']:.0%}",
        "-" if row["idle_share"] is None else f"{row['idle_share']:.1%}",
        f"{row['waiting_share']:.1%}",
        as_bytes(row["peak_bytes"]),
    ]
