"""The page: its data, its parts, and what it says first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from oltr.report.cells import percent
from oltr.report.html.figures import svg
from oltr.report.html.rows import columns, rows
from oltr.report.html.runs import run_data
from oltr.report.markdown import CAPTIONS
from oltr.report.pictures import pictures
from oltr.report.summary import headline, refusal, summary
from oltr.report.tables import by_method, method_name

HERE = Path(__file__).parent
SCRIPTS = ("data", "plots", "tables", "methods", "threshold", "run", "page")
MOST_DRAWN = 6
"""The pictures of so many methods stand in a page of many runs; those of the others are in their own reports."""

Report = Mapping[str, Any]
History = Sequence[Mapping[str, Any]]


def page(
    reports: Sequence[Report],
    histories: Sequence[History] | None = None,
    *,
    title: str | None = None,
    warnings: Sequence[str] = (),
    drawn: Mapping[str, Figure] | None = None,
) -> str:
    """One HTML file with everything in it, of one run or many; ``histories`` are their logs, in the same order.

    ``warnings`` are told at the top, above its own. Where there are several runs, one that was selected on test data is
    told there and left out of the table. ``drawn`` are the pictures of a single run, where they are there already.
    """
    if not reports:
        raise ValueError("a page needs at least one report")
    methods = by_method(reports)
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "pretty": _pretty, "without": _without, "combined": _combined}
    return environment.get_template("page.html.jinja").render(
        title=title or (_name(reports[0]) if len(reports) == 1 else f"{len(methods)} methods, {len(reports)} runs"),
        reports=reports,
        methods=methods,
        warnings=[*warnings, *_refusals(reports), *_differences(methods)],
        headline=headline(reports[0]),
        numbers=summary(reports[0]),
        skipped=_skipped(reports),
        refused=[refusal(report) is not None for report in reports],
        data=_data(reports, methods),
        pictures=_embedded_pictures(reports, histories or [()] * len(reports), methods, drawn),
        most_drawn=MOST_DRAWN,
        style=_embedded("page.css"),
        script=Markup("\n").join(_embedded(f"{name}.js") for name in SCRIPTS),
    )


def _embedded(name: str) -> Markup:
    return Markup((HERE / "static" / name).read_text(encoding="utf-8"))


def _data(reports: Sequence[Report], methods: Sequence[Sequence[Report]]) -> Markup:
    """What the scripts read, as JSON that cannot end its element: no class name is markup."""
    asked = columns(reports)
    alone = len(reports) == 1
    entries = sum(len(report["open"] or ()) for report in reports)
    tables: list[dict[str, Any]] = []
    content: dict[str, Any] = {
        "methods": _distinct([method_name(members) for members in methods]),
        "columns": [{"key": column.key, "title": column.title, "says": column.says} for column in asked],
        "runs": [],
        "tables": tables,
        "rows": [],
    }
    for index, report in enumerate(reports):
        method = next(place for place, members in enumerate(methods) if any(report is member for member in members))
        facts = {"name": _name(report), "method": method, "seed": report["run"].get("seed")}
        content["runs"].append({**facts, **run_data(report, tables, entries=entries)})
        if alone or refusal(report) is None:
            content["rows"] += [{"run": index, **row} for row in rows(report, asked)]
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _distinct(names: Sequence[str]) -> list[str]:
    """``names``, numbered where methods of other configs are called the same."""
    told: list[str] = []
    for index, name in enumerate(names):
        place = names[: index + 1].count(name)
        told.append(name if names.count(name) == 1 else f"{name} ({place})")
    return told


def _embedded_pictures(
    reports: Sequence[Report],
    histories: Sequence[History],
    methods: Sequence[Sequence[Report]],
    drawn: Mapping[str, Figure] | None,
) -> list[list[tuple[str, Markup]]]:
    """Captions and pictures by run: of all where there is one method, else of the first run of the first methods."""
    first = [members[0] for members in methods[:MOST_DRAWN]]
    embedded: list[list[tuple[str, Markup]]] = []
    for index, (report, history) in enumerate(zip(reports, histories, strict=True)):
        chosen = any(report is member for member in first)
        figures = drawn or pictures(report, history) if chosen else {}
        embedded.append(
            [
                (CAPTIONS[name], svg(figure, name=f"run{index}-{name.partition('.')[0]}", title=CAPTIONS[name]))
                for name, figure in figures.items()
            ]
        )
    return embedded


def _skipped(reports: Sequence[Report]) -> dict[tuple[str, str], list[str]]:
    """The names of the runs by the scorer that could not be used in them, and why."""
    runs: dict[tuple[str, str], list[str]] = {}
    for report in reports:
        for scorer, entry in (report["open"] or {}).items():
            if "skipped" in entry:
                runs.setdefault((scorer, entry["skipped"]), []).append(_name(report))
    return runs


def _refusals(reports: Sequence[Report]) -> list[str]:
    told = [(_name(report), reason) for report in reports if (reason := refusal(report)) is not None]
    if len(reports) == 1:
        return [f"Selected on test data: {reason} No leaderboard takes this run." for _, reason in told]
    return [f"refused: {name}: {reason}" for name, reason in told]


def _differences(methods: Sequence[Sequence[Report]]) -> list[str]:
    """Which rows were measured on other images, or by other shot groups, than the first."""
    first, told = methods[0], []
    for members in methods[1:]:
        names = f"{method_name(members)} was measured", f"than {method_name(first)}."
        if _data_of(members[0]) != _data_of(first[0]):
            told.append(f"Rows are not comparable: {names[0]} on other data {names[1]}")
        if members[0]["data"]["shots"]["rule"] != first[0]["data"]["shots"]["rule"]:
            told.append(f"Rows are not comparable: {names[0]} by other shot groups {names[1]}")
    return told


def _data_of(report: Report) -> Any:
    data = report["data"]
    return data["images"], data["classes"], report["provenance"].get("data", {}).get("sha256")


def _name(report: Report) -> str:
    return str(report["run"].get("name", "run"))


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _without(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


def _combined(values: Mapping[str, Any], others: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**values, **(others or {})}
