"""Pictures of the open set: score histograms, ROC, and F-measures against threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from oltr.report.style import COLOURS, CYCLE, DASHES, INK, new_figure, numbers
from oltr.report.summary import headline

MOST_SCORERS = 6
"""Pictures show no more than the first few of the config's scorers; tables show all."""
KINDS = {"common": "known, many and medium", "few": "known, few", "open": "open", "far": "far open"}
F_NAMES = {"f_oltr2020": "OLTR 2020", "f_oltr2019": "OLTR 2019", "f_micro": "micro", "f1_macro_k1": "macro F1 over K+1"}


def score_histograms(report: Mapping[str, Any]) -> Figure | None:
    """The scores of many- and medium-shot, few-shot and open images, a panel a scorer; lines mark operating points."""
    entries = _drawable(report)
    if not entries:
        return None
    columns = min(2, len(entries))
    rows = math.ceil(len(entries) / columns)
    run = report["run"].get("name", "")
    figure, axes = new_figure(
        _title("Scores of known and open images", report), run, rows=rows, columns=columns, height=1.6 + 2.2 * rows
    )
    for each, (name, entry) in zip(axes.flat, entries.items(), strict=False):
        data = entry["curves"]["histogram"]
        for kind, dash in zip(KINDS, DASHES, strict=False):
            shares = data["shares"].get(kind)
            if shares is None:
                continue
            heights = [share * 100 for share in shares]
            each.stairs(heights, data["edges"], color=COLOURS[kind], alpha=0.18, fill=True)
            each.stairs(heights, data["edges"], color=COLOURS[kind], linestyle=dash, linewidth=1.6, label=KINDS[kind])
        for point in _marked(entry):
            each.axvline(point["threshold"], color=INK, linewidth=1, linestyle=(0, (2, 2)))
        each.set_xlim(data["edges"][0], data["edges"][-1])
        each.set_xlabel(f"{name}   (higher: more unknown)", fontsize=10)
        each.set_ylabel("images (%)", fontsize=10)
    for each in axes.flat[len(entries) :]:
        each.set_axis_off()
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=10, frameon=False)
    return figure


def roc(report: Mapping[str, Any]) -> Figure | None:
    """Known against open images accepted, a curve a scorer."""
    entries = _drawable(report)
    if not entries:
        return None
    figure, axes = new_figure(
        _title("Known against open images accepted (ROC)", report), report["run"].get("name", ""), height=5.2
    )
    each = axes[0, 0]
    each.plot([0, 100], [0, 100], color="#BBBBBB", linewidth=1)
    for index, (name, entry) in enumerate(entries.items()):
        curve = entry["curves"]["roc"]
        each.plot(
            [100 * share for share in curve["open_accepted"]],
            [100 * share for share in curve["known_accepted"]],
            color=CYCLE[index % len(CYCLE)],
            linestyle=DASHES[index % len(DASHES)],
            linewidth=1.8,
            label=f"{name}   AUROC {entry['ranking']['auroc']:.3f}",
        )
    each.set(xlim=(0, 100), ylim=(0, 101))
    each.set_xlabel("open images accepted (%)", fontsize=11)
    each.set_ylabel("known test images accepted (%)", fontsize=11)
    each.legend(fontsize=10, loc="lower right")
    return figure


def f_against_threshold(report: Mapping[str, Any]) -> Figure | None:
    """The four F-measures of the headline scorer against its threshold; lines mark its operating points."""
    chosen = headline(report)
    if chosen is None or not chosen.entry["curves"]:
        return None
    title = f"Open-set F-measures against the threshold on {chosen.scorer}"
    figure, axes = new_figure(title, report["run"].get("name", ""), height=4.8)
    each, data = axes[0, 0], chosen.entry["curves"]["f_measures"]
    for index, (key, label) in enumerate(F_NAMES.items()):
        dash, colour = DASHES[index], CYCLE[index]
        each.plot(data["threshold"], numbers(data[key]), color=colour, linestyle=dash, linewidth=1.8, label=label)
    for index, point in enumerate(_marked(chosen.entry)):
        each.axvline(
            point["threshold"], color=INK, linewidth=1.2, linestyle=(0, (2, 2 + 2 * index)), label=point["rule"]
        )
    each.set_ylim(0, 1.02)
    each.set_xlabel(f"threshold on {chosen.scorer}: images above it are rejected", fontsize=11)
    each.set_ylabel("F-measure", fontsize=11)
    figure.legend(loc="outside lower center", ncols=2, fontsize=10, frameon=False)
    return figure


def _scored(report: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in (report["open"] or {}).items() if entry.get("curves")}


def _drawable(report: Mapping[str, Any]) -> dict[str, Any]:
    return dict(list(_scored(report).items())[:MOST_SCORERS])


def _title(title: str, report: Mapping[str, Any]) -> str:
    """The title, and how many scorers there are where not all are drawn."""
    count = len(_scored(report))
    return title if count <= MOST_SCORERS else f"{title}: the first {MOST_SCORERS} of {count} scorers"


def _marked(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The operating points that are one threshold, not one for each class."""
    return [point for point in entry["operating_points"].values() if point["threshold"] is not None]
