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
GROUPS = {"auroc": "AUROC", "fpr_at_95_known": "FPR@95known", "frr_at_95_open": "FRR@95open"}
MEASURES = (*F_MEASURES, "f1_macro_known", "f1_unknown")


def open_section(report: Mapping[str, Any]) -> str:
    """The headline scorer's operating points in full, those of the others folded; or why there is nothing."""
    if not report["open"]:
        return str(report["open_note"] or "No open-set scorer was evaluated.")
    scored = {name: entry for name, entry in report["open"].items() if "skipped" not in entry}
    pieces = [str(report["open_note"])] if report["open_note"] else []
    pieces += [f"- {cell(name)}: {entry['skipped']}" for name, entry in report["open"].items() if "skipped" in entry]
    pieces += [f"- threshold {cell(name)}: {why}" for name, why in (report.get("thresholds_skipped") or {}).items()]
    if scored:
        pieces += [_ranking(scored, "near"), _groups(scored)]
    far = {name: entry["far"] for name, entry in scored.items() if entry.get("far")}
    if far:
        pieces += ["The same against the far open set:", _ranking(far, "far")]
    chosen = headline(report)
    for name, entry in scored.items():
        for point in entry["operating_points"].values():
            title = f"{cell(name)}: {point['rule']} ({threshold(point)})"
            first = chosen is not None and name == chosen.scorer
            pieces.append(f"**{title}**\n\n{_point(point)}" if first else details(title, _point(point)))
    return "\n\n".join(pieces)


def threshold(point: Mapping[str, Any]) -> str:
    """The threshold in words: one number, or the span of those of the classes."""
    if point["threshold"] is not None:
        return f"threshold {point['threshold']:.4g}"
    classes = point["class_thresholds"]
    return f"a threshold for each class, {min(classes):.4g} to {max(classes):.4g}"


def _ranking(scored: Mapping[str, Any], which: str) -> str:
    measured = list(next(iter(scored.values()))["ranking"])
    titles = [f"scorer, {which} open set", *(RANKING.get(key, cell(key)) for key in measured)]
    return rows(
        titles,
        [[cell(name), *(percent(entry["ranking"][key]) for key in measured)] for name, entry in scored.items()],
    )


def _groups(scored: Mapping[str, Any]) -> str:
    """Each shot group's test images against the whole open set, near and, where there is one, far."""
    asked = {f"{title} of {shot}": (key, shot) for key, title in GROUPS.items() for shot in SHOTS}
    far = (
        {f"AUROC of {shot}, far": shot for shot in SHOTS} if any(entry.get("far") for entry in scored.values()) else {}
    )
    lines = [
        [cell(name), *(percent(entry["groups"][key][shot]) for key, shot in asked.values())]
        + [percent(entry["far"]["groups"]["auroc"][shot] if entry["far"] else None) for shot in far.values()]
        for name, entry in scored.items()
    ]
    return rows(["scorer", *asked, *far], lines)


def _point(point: Mapping[str, Any]) -> str:
    told = {
        "known images accepted": "known_acceptance",
        "open images rejected": "open_set_accuracy",
        "far open images rejected": "far_open_accuracy",
        "mean of accuracy and open images rejected": "normalised_accuracy",
        "harmonic mean": "harmonic_accuracy",
    }
    if point["far_open_accuracy"] is None:
        told.pop("far open images rejected")
    text = ", ".join(f"{title} {percent(point[key])}" for title, key in told.items())
    accuracy = {"overall": point["accuracy"], **{shot: point[shot] for shot in SHOTS}}
    measured = {
        "accuracy after rejection": accuracy,
        "known images rejected": point["false_rejection"],
        **{key: point[key] for key in MEASURES},
    }
    lines = [[cell(name), *(percent(value[group]) for group in accuracy)] for name, value in measured.items()]
    return f"{text[0].upper()}{text[1:]}.\n\n{rows(['', *accuracy], lines)}"
