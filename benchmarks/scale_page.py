"""The scale study as a page of tables, and as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.table import as_digits, head, line
from oltr.atomic import write_bytes
from oltr.report.style import COLOURS, png

GB, MB = 1e9, 1e6
TITLES = {
    "classes": "Stage 2's classifier and centroid loss, forward and backward: batch 128, 512 features",
    "images": "A training list read, made a data set and a class-aware sampler",
    "processes": "Training steps, a batch of 64 shared by the processes (gloo, one thread each)",
    "scorers": "A scorer fitted on training features of 512, and 8,000 images scored",
}
COLUMNS: dict[str, tuple[tuple[str, str, float], ...]] = {
    "classes": (("ms a step", "milliseconds", 1), ("images/s", "images_per_second", 1), ("peak, MB", "peak_bytes", MB)),
    "images": (
        ("list read, s", "read_seconds", 1),
        ("sampler made, s", "sampler_seconds", 1),
        ("epoch drawn, s", "epoch_seconds", 1),
        ("held, bytes an image", "held_bytes", 1),
        ("after the first epoch", "held_bytes_drawn", 1),
        ("process grown by", "resident_bytes", 1),
        ("peak, GB", "peak_bytes", GB),
    ),
    "processes": (("images/s", "images_per_second", 1),),
    "scorers": (("s", "seconds", 1), ("peak, GB", "peak_bytes", GB)),
}
"""Of each study the columns: title, what of a point, and what it is divided by."""
DRAWN = {
    "classes": ("milliseconds", "peak_bytes"),
    "images": ("read_seconds", "held_bytes"),
    "processes": ("images_per_second",),
    "scorers": ("seconds", "peak_bytes"),
}
SHADES = ("many", "few", "medium")


def markdown(results: Mapping[str, Any]) -> str:
    """The tables; held are the arrays of data set and sampler, beside the bytes of the paths."""
    lines = head(results)
    for study, title in TITLES.items():
        curves = [curve for curve in results["rows"] if curve["study"] == study]
        if curves:
            lines += [f"## {title}", "", *_table(study, curves), ""]
    return "\n".join(lines)


def _table(study: str, curves: Sequence[Mapping[str, Any]]) -> list[str]:
    size = curves[0]["size"] if study != "processes" else "processes"
    several = len(curves) > 1
    titles = [
        *([{"processes": "network"}.get(study, "scorer")] if several else []),
        size,
        *(title for title, _, _ in COLUMNS[study]),
    ]
    rows = [
        line([*([curve["label"]] if several else []), f"{point[curve['size']]:,}", *_numbers(study, point)])
        for curve in curves
        for point in curve["points"]
    ]
    return [line(titles), line(["---:"] * len(titles)), *rows]


def _numbers(study: str, point: Mapping[str, Any]) -> list[str]:
    return ["-" if point[key] is None else as_digits(point[key] / scale) for _, key, scale in COLUMNS[study]]


def draw(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """A picture of each study, ``scale_<study>.png`` below ``folder``."""
    paths = []
    for study, keys in DRAWN.items():
        curves = [curve for curve in results["rows"] if curve["study"] == study]
        if curves:
            paths.append(folder / f"scale_{study}.png")
            write_bytes(paths[-1], png(picture(study, keys, curves)))
    return paths


def picture(study: str, keys: Sequence[str], curves: Sequence[Mapping[str, Any]]) -> Figure:
    """A panel for each quantity, logarithmic but for processes and for bytes held."""
    figure = Figure(figsize=(3.6 * len(keys), 2.8 if len(curves) == 1 else 3.1), layout="constrained")
    FigureCanvasAgg(figure)
    named = {key: (title, scale) for title, key, scale in COLUMNS[study]}
    for panel, key in zip(figure.subplots(1, len(keys), squeeze=False)[0], keys, strict=True):
        title, scale = named[key]
        for curve, shade in zip(curves, SHADES, strict=False):
            points = [(point[curve["size"]], point[key] / scale) for point in curve["points"] if point[key]]
            panel.plot(*zip(*points, strict=True), marker="o", color=COLOURS[shade], label=curve["label"])
        if study == "processes":
            panel.set_xticks(range(1, 5))
        else:
            panel.set_xscale("log")
        if key != "held_bytes":
            panel.set_yscale("log")
        else:
            panel.set_ylim(bottom=0)
        panel.set_xlabel({"scorers": "training features"}.get(study, study))
        panel.set_ylabel(title)
        panel.grid(alpha=0.3)
    if len(curves) > 1:
        handles, labels = panel.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(curves), frameon=False, fontsize="small")
    return figure
