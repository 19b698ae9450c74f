"""Results as a table for people, and written to files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oltr.atomic import write_bytes

COLUMNS = ("row", "ours", "plain twin", "twin / ours", "a second", "extra memory: ours", "twin", "ratio")


def write(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """``<suite>.json`` and ``<suite>.md``."""
    contents = {"json": json.dumps(results, indent=1, ensure_ascii=False) + "\n", "md": markdown(results)}
    for ending, text in contents.items():
        write_bytes(folder / f"{results['suite']}.{ending}", text.encode())
    return [folder / f"{results['suite']}.{ending}" for ending in contents]


def markdown(results: Mapping[str, Any]) -> str:
    hardware, rows = results["hardware"], results["rows"]
    load = results["other_load_cores"]
    busy = "" if load is None else f" Meanwhile everything else on the machine kept {load:.2f} cores busy."
    return "\n".join(
        [
            f"# Benchmarks: {results['suite']}",
            "",
            f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['threads']} used; {hardware['platform']}; "
            f"torch {results['torch']}; {results['date']}.{busy}",
            "",
            "Medians of the rounds, with smallest and largest; how they are taken, and what the twins are: "
            "docs/performance.md.",
            "",
            _line(COLUMNS),
            _line(["---", *["---:"] * (len(COLUMNS) - 1)]),
            *(_line(_cells(row)) for row in rows),
            "",
            *(_described(row) for row in rows),
            "",
        ]
    )


def _cells(row: Mapping[str, Any]) -> list[str]:
    seconds, peaks = row["seconds"], row["peak_bytes"]
    ratio = row["times_ours"].get("twin")
    ours, twin = peaks.get("ours"), peaks.get("twin")
    return [
        row["name"],
        _spread(seconds["ours"]),
        _spread(seconds["twin"]) if "twin" in seconds else "-",
        f"**{_digits(ratio['median'])}** ({_digits(ratio['low'])} to {_digits(ratio['high'])})" if ratio else "-",
        f"{_digits(row['per_second'])} {row['per']}" if row["per"] else "",
        _bytes(ours),
        _bytes(twin),
        _digits(twin / ours) if ours and twin else "",
    ]


def _described(row: Mapping[str, Any]) -> str:
    text = f"- **{row['name']}**: {row['what']}. Twin: {row['twin']}."
    if row["twin_left_out"]:
        text += f" The twin was left out, since {row['twin_left_out']} and so much was not there."
    if "yardstick" in row["seconds"]:
        spread, ratio = row["seconds"]["yardstick"], row["times_ours"]["yardstick"]
        text += f" Beside it {row['yardstick']}: {_spread(spread)}, {ratio['median']:.3g} of ours."
    return text


def _spread(seconds: Mapping[str, float]) -> str:
    scale, unit = (1, "s") if seconds["median"] >= 1 else (1e3, "ms") if seconds["median"] >= 1e-3 else (1e6, "µs")
    median, low, high = (_digits(seconds[key] * scale) for key in ("median", "low", "high"))
    return f"{median} {unit} ({low} to {high})"


def _digits(value: float) -> str:
    """Three significant digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _bytes(count: int | None) -> str:
    return "" if count is None else f"{_digits(count / 2**20)} MiB"


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"
