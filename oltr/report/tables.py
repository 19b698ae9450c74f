"""Tables of many runs: plain for a terminal, Markdown for a comparison with means over seeds."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from oltr.report.cells import cell, percent, rows
from oltr.report.summary import CLOSED, headline, refusal, summary

Report = Mapping[str, Any]


def table(reports: Sequence[Report]) -> str:
    """One row a run for a terminal, in percent; below it what the columns after ``few`` were measured with."""
    ranked, refused = _leaderboard(reports)
    if not ranked:
        return "\n".join(refused)
    columns = _columns(ranked)
    lines = [["run (%)", *columns]]
    for report in ranked:
        row = summary(report)
        lines.append([_name(report), *(percent(row[title]) for title in columns)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(_padded(line, widths)).rstrip() for line in lines]
    return "\n".join([text[0], "-" * max(map(len, text)), *text[1:], *_notes(ranked), *refused])


def compare(reports: Sequence[Report]) -> str:
    """A Markdown table of runs; those that differ only by seed become one row, mean ± sample standard deviation."""
    ranked, refused = _leaderboard(reports)
    if not ranked:
        return "".join(f"{line}\n" for line in refused)
    columns = _columns(ranked)
    lines = []
    for members in by_method(ranked):
        values = [[summary(report)[title] for report in members] for title in columns]
        seeds = ", ".join(str(report["run"].get("seed", "–")) for report in members)
        lines.append([cell(method_name(members)), seeds, *map(_spread, values)])
    return "\n\n".join([rows(["run (%)", "seeds", *columns], lines), *_notes(ranked), *map(cell, refused)]) + "\n"


def by_method(reports: Sequence[Report]) -> list[list[Report]]:
    """The runs that differ only by seed, together, in the order of their first."""
    groups: dict[str, list[Report]] = {}
    for report in reports:
        groups.setdefault(_without_seed(report), []).append(report)
    return list(groups.values())


def method_name(members: Sequence[Report]) -> str:
    """What the runs of one method are called together: the name without its seed; that of a run alone as it is."""
    return _name(members[0]) if len(members) == 1 else _shared_name(members)


def _leaderboard(reports: Sequence[Report]) -> tuple[list[Report], list[str]]:
    """The runs that may be ranked, and a line for each that may not."""
    refused = [f"refused: {_name(report)}: {reason}" for report in reports if (reason := refusal(report)) is not None]
    return [report for report in reports if refusal(report) is None], refused


def _columns(reports: Sequence[Report]) -> list[str]:
    """The columns that any of the runs has a number in; those of the closed set always."""
    found = [summary(report) for report in reports]
    return [title for title in found[0] if title in CLOSED or any(row[title] is not None for row in found)]


def _name(report: Report) -> str:
    return str(report["run"].get("name", "run"))


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [line[0].ljust(widths[0]), *(item.rjust(width) for item, width in zip(line[1:], widths[1:], strict=True))]


def _notes(reports: Sequence[Report]) -> list[str]:
    """What the open-set columns rest on; every rule once, since runs may differ in it."""
    used = [
        (chosen.scorer, str(chosen.point["rule"])) for report in reports if (chosen := headline(report)) is not None
    ]
    notes = [f"open set by {scorer}; F at: {rule}" for scorer, rule in dict.fromkeys(used)]
    groups = dict.fromkeys(str(report["data"]["shots"]["rule"]) for report in reports)
    return [*notes, f"shot groups {'; '.join(groups)}"]


def _without_seed(report: Report) -> str:
    """What makes two runs the same but for the seed; a run that tells no config stands alone by its name."""
    run = report["run"]
    config = run.get("config")
    kept = {key: value for key, value in config.items() if key != "seed"} if isinstance(config, Mapping) else config
    name = _shared_name([report]) if kept is not None else _name(report)
    split = report["provenance"].get("data", {}).get("sha256")
    measured = (report["data"]["images"], report["data"]["shots"]["rule"], split)
    return json.dumps([name, kept, run.get("dataset"), run.get("stage"), measured], sort_keys=True, default=str)


def _shared_name(members: Sequence[Report]) -> str:
    """The name without its seed."""
    return re.sub(r"[/_ -]*seed[_ =-]?\d+", "", _name(members[0])) or "run"


def _spread(values: Sequence[float | None]) -> str:
    """The mean ± standard deviation of the runs that have the number."""
    present = [value for value in values if value is not None]
    if not present:
        return "–"
    if len(present) == 1:
        return percent(present[0])
    text = f"{statistics.mean(present) * 100:.1f} ± {statistics.stdev(present) * 100:.1f}"
    return text if len(present) == len(values) else f"{text} ({len(present)} of {len(values)})"
