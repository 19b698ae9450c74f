"""Results as a table for people, and written to files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oltr.atomic import write_bytes

COLUMNS = ("row", "ours", "plain twin", "twin / ours", "a second", "extra memory: ours", "twin", "ratio")


def write(
    results: Mapping[str, Any], folder: Path, page: Callable[[Mapping[str, Any]], str] | None = None
) -> list[Path]:
    """``<suite>.json`` and ``<suite>.md``, which is the table where no other ``page`` is given."""
    text = (page or markdown)(results)
    contents = {"json": json.dumps(results, indent=1, ensure_ascii=False) + "\n", "md": text}
    for ending, text in contents.items():
        write_bytes(folder / f"{results['suite']}.{ending}", text.encode())
    return [folder / f"{results['suite']}.{ending}" for ending in contents]


def markdown(results: Mapping[str, Any]) -> str:
    rows = results["rows"]
    return "\n".join(
        [
            *head(results),
            "Medians of the rounds, with smallest and largest; how they are taken, and what the twins are: "
            "docs/performance.md.",
            "",
            line(COLUMNS),
            line(["---", *["---:"] * (len(COLUMNS) - 1)]),
            *(line(_cells(row)) for row in rows),
            "",
            *(_described(row) for row in rows),
            "",
        ]
    )


def head(results: Mapping[str, Any]) -> list[str]:
    """The title of a page, and on what machine and when its numbers were taken."""
    hardware, load = results["hardware"], results["other_load_cores"]
    busy = "" if load is None else f" Meanwhile everything else on the machine kept {load:.2f} cores busy."
    gpus = "".join(f"{gpu}; " for gpu in hardware["gpus"])
    return [
        f"# Benchmarks: {results['suite']}",
        "",
        f"{gpus}{hardware['cpu']}, {hardware['cores']} cores, {hardware['threads']} used; {hardware['platform']}; "
        f"torch {results['torch']}; {results['date']}.{busy}",
        "",
    ]


def _cells(row: Mapping[str, Any]) -> list[str]:
    seconds, peaks = row["seconds"], row["peak_bytes"]
    ratio = row["times_ours"].get("twin")
    ours, twin = peaks.get("ours"), peaks.get("twin")
    return [
        row["name"],
        as_spread(seconds["ours"]),
        as_spread(seconds["twin"]) if "twin" in seconds else "-",
        f"**{as_digits(ratio['median'])}** ({as_digits(ratio['low'])} to {as_digits(ratio['high'])})" if ratio else "-",
        f"{as_digits(row['per_second'])} {row['per']}" if row["per"] else "",
        as_bytes(ours),
        as_bytes(twin),
        as_digits(twin / ours) if ours and twin else "",
    ]


def _described(row: Mapping[str, Any]) -> str:
    text = f"- **{row['name']}**: {row['what']}. Twin: {row['twin']}."
    if row["twin_left_out"]:
        text += f" The twin was left out, since {row['twin_left_out']} and so much was not there."
    if "yardstick" in row["seconds"]:
        spread, ratio = row["seconds"]["yardstick"], row["times_ours"]["yardstick"]
        text += f" Beside it {row['yardstick']}: {as_spread(spread)}, {ratio['median']:.3g} of ours."
    return text


def as_spread(seconds: Mapping[str, float]) -> str:
    """A median with its extremes, in a unit that fits."""
    scale, unit = (1, "s") if seconds["median"] >= 1 else (1e3, "ms") if seconds["median"] >= 1e-3 else (1e6, "µs")
    median, low, high = (as_digits(seconds[key] * scale) for key in ("median", "low", "high"))
    return f"{median} {unit} ({low} to {high})"


def as_digits(value: float) -> str:
    """Three significant digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def as_bytes(count: int | None) -> str:
    """Mebibytes; nothing where it is not known."""
    return "" if count is None else f"{as_digits(count / 2**20)} MiB"


def line(cells: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"
