"""Pictures of the closed set: accuracy by class, and which shot groups are taken for which."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from oltr.report.style import COLOURS, INK, new_figure, numbers
from oltr.report.summary import headline

MOST_NAMES = 40
HEADROOM = 128
"""The top of the accuracy axis: above 100 stand the names of the groups."""


def accuracy_by_class(report: Mapping[str, Any]) -> Figure:
    """The accuracy of each class by falling training count, above the counts themselves; bands are the shot groups."""
    rows = sorted(report["classes"], key=lambda row: -row["train_images"])
    figure, axes = new_figure("Test accuracy by class", report["run"].get("name", ""), rows=2, height=5.2)
    upper, lower = axes[:, 0]
    upper.get_gridspec().set_height_ratios([3, 1])
    places = np.arange(len(rows))
    accuracy = np.array(numbers([row["accuracy"] for row in rows])) * 100
    colours = [COLOURS[row["shot"]] for row in rows]
    if len(rows) <= 150:
        upper.bar(places, accuracy, width=0.85, color=colours)
    else:
        upper.scatter(places, accuracy, s=9, c=colours, alpha=0.45, linewidths=0)
        upper.plot(
            places, _running_mean(accuracy, len(rows) // 20), color=COLOURS["all"], linewidth=1.8, label="running mean"
        )
        upper.legend(fontsize=9, loc="lower left", framealpha=0.9)
    _bands(upper, report, [row["shot"] for row in rows])
    upper.set_ylim(0, HEADROOM)
    upper.set_yticks(range(0, 101, 20))
    upper.set_ylabel("accuracy (%)", fontsize=11)
    lower.stairs([row["train_images"] for row in rows], np.arange(len(rows) + 1) - 0.5, fill=True, color="#999999")
    lower.set_yscale("symlog", linthresh=1)
    lower.set_ylim(bottom=0)
    lower.yaxis.set_major_formatter("{x:,.0f}")
    lower.set_ylabel("training\nimages", fontsize=11)
    lower.set_xlabel(f"{len(rows)} classes, by falling number of training images", fontsize=11)
    for each in (upper, lower):
        each.set_xlim(-0.6, len(rows) - 0.4)
        each.grid(False, axis="x")
    if len(rows) <= MOST_NAMES:
        names = [_short(row["name"]) for row in rows]
        lower.set_xticks(places, names, rotation=90, fontsize=8, parse_math=False)
    upper.tick_params(labelbottom=False)
    return figure


def confusion(report: Mapping[str, Any]) -> Figure:
    """Where the images of each shot group and of the open set go: shares of a row, closed and after rejection."""
    tables = [("without rejection", report["confusion"])]
    chosen = headline(report)
    if chosen is not None:
        tables.append((f"{chosen.scorer}, {chosen.point['rule']}", chosen.point["confusion"]))
    run = report["run"].get("name", "")
    figure, axes = new_figure("Confusion by shot group", run, columns=len(tables), height=4.2)
    for each, (title, table) in zip(axes[0], tables, strict=True):
        _matrix(each, table)
        each.set_title(fill(title, 46), fontsize=10)
    return figure


def _matrix(axes: Axes, table: Mapping[str, Mapping[str, float | None]]) -> None:
    rows = list(table)
    columns = list(next(iter(table.values())))
    shares = np.array([numbers([table[row][column] for column in columns]) for row in rows]) * 100
    axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        text = "–" if np.isnan(share) else f"{share:.0f}%"
        axes.text(column, row, text, ha="center", va="center", fontsize=12, color="white" if share > 55 else INK)
    axes.set_xticks(range(len(columns)), ["rejected" if name == "open" else name for name in columns])
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel("group of the predicted class", fontsize=11)
    axes.set_ylabel("group of the image", fontsize=11)
    axes.grid(False)


def _bands(axes: Axes, report: Mapping[str, Any], shots: list[str]) -> None:
    """Shade the runs of each group along the axis; name each group once, over its longest run."""
    runs: list[tuple[str, int, int]] = []
    for shot, members in groupby(enumerate(shots), key=lambda item: item[1]):
        indices = [index for index, _ in members]
        runs.append((shot, indices[0], indices[-1]))
        axes.axvspan(indices[0] - 0.5, indices[-1] + 0.5, color=COLOURS[shot], alpha=0.08, linewidth=0)
    for shot in dict.fromkeys(shots):
        _, first, last = max((run for run in runs if run[0] == shot), key=lambda run: run[2] - run[1])
        mean = report["closed"][shot]
        text = f"{shot} ({shots.count(shot)})" + ("" if mean is None else f"\n{mean * 100:.1f} %")
        middle = (first + last) / 2
        axes.text(
            middle, HEADROOM - 1, text, ha="center", va="top", fontsize=10, color=COLOURS[shot], fontweight="bold"
        )


def _running_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """The mean over ``width`` neighbours of each value, NaN left out; fewer at the ends."""
    window = np.ones(2 * (width // 2) + 1)
    present = ~np.isnan(values)
    total, count = (np.convolve(array, window, mode="same") for array in (np.nan_to_num(values), present.astype(float)))
    means = np.full(len(values), np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means


def _short(name: str, length: int = 20) -> str:
    """Both ends of a long name, since either may be what tells it from others."""
    return name if len(name) <= length else f"{name[: length // 2]}…{name[1 - length // 2 :]}"
