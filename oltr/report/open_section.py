"""The open set in the Markdown report: rankings, and what each scorer does at a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oltr.metrics.f_measures import F_MEASURES
from oltr.report.cells import SHOTS, cell, details, percent, rows
from oltr.report.summary import headline

RANKING = {
    "auroc": "AUROC",
    "aupr_in": "AUPR-in",
    "aupr_out": "AUPR-out",
    "aupr_in_trapezoid": "AUPR-in, trapezoid",
    "aupr_out_trapezoid": "AUPR-out, trapezoid",
    "fpr_at_95_known": "FPR@95known",
    "frr_at_95_open": "FRR@95open",
    "oscr": "OSCR",
    "detection_accuracy": "detection accuracy",
}
MEASURES = (*F_MEASURES, "f1_macro_known", "f1_unknown")


def open_section(report: Mapping[str, Any]) -> str:
    """The headline scorer's operating points in full, those of the others folded; or why there is nothing."""
    if not report["open"]:
        return str(report["open_note"] or "No open-set scorer was evaluated.")
    scored = {name: entry for name, entry in report["open"].items() if "skipped" not in entry}
    pieces = [str(report["open_note"])] if report["open_note"] else []
    pieces += [f"- {cell(name)}: {entry['skipped']}" for name, entry in report["open"].items() if "skipped" in entry]
    if scored:
        pieces.append(_ranking(scored))
    chosen = headline(report)
    for name, entry in scored.items():
        for point in entry["operating_points"].values():
            title = f"{cell(name)}: {point['rule']} (threshold {point['threshold']:.4g})"
            first = chosen is not None and name == chosen.scorer
            pieces.append(f"**{title}**\n\n{_point(point)}" if first else details(title, _point(point)))
    return "\n\n".join(pieces)


def _ranking(scored: Mapping[str, Any]) -> str:
    measured = list(next(iter(scored.values()))["ranking"])
    titles = ["scorer", *(RANKING.get(key, cell(key)) for key in measured), *(f"AUROC of {shot}" for shot in SHOTS)]
    values = {
        name: [entry["ranking"][key] for key in measured] + [entry["tail"][shot] for shot in SHOTS]
        for name, entry in scored.items()
    }
    return rows(titles, [[cell(name), *map(percent, line)] for name, line in values.items()])


def _point(point: Mapping[str, Any]) -> str:
    told = {
        "known images accepted": "known_acceptance",
        "open images rejected": "open_set_accuracy",
        "mean of accuracy and open images rejected": "normalised_accuracy",
        "harmonic mean": "harmonic_accuracy",
    }
    text = ", ".join(f"{title} {percent(point[key])}" for title, key in told.items())
    accuracy = {"overall": point["accuracy"], **{shot: point[shot] for shot in SHOTS}}
    measured = {"accuracy after rejection": accuracy, **{key: point[key] for key in MEASURES}}
    lines = [[cell(name), *(percent(value[group]) for group in accuracy)] for name, value in measured.items()]
    return f"{text[0].upper()}{text[1:]}.\n\n{rows(['', *accuracy], lines)}"
