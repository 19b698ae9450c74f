"""The picture of the training: losses, validation accuracy and learning rates, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oltr.report.style import COLOURS, CYCLE, DASHES, new_figure, numbers

SHOTS = {"accuracy": "all", "many": "many", "medium": "medium", "few": "few"}


def training_curves(report: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> Figure | None:
    """None where nothing was trained. The best epoch, the one evaluated, is marked."""
    if not history:
        return None
    figure, axes = new_figure("Training", report["run"].get("name", ""), rows=3, height=7.2)
    loss, accuracy, rate = axes[:, 0]
    _lines(
        loss, history, "loss", {name: CYCLE[index % len(CYCLE)] for index, name in enumerate(_names(history, "loss"))}
    )
    loss.set_ylabel("training loss", fontsize=11)
    _lines(accuracy, history, "val", {key: COLOURS[name] for key, name in SHOTS.items()}, labels=SHOTS, factor=100)
    accuracy.set(ylim=(0, 100))
    accuracy.set_ylabel("validation\naccuracy (%)", fontsize=11)
    _lines(rate, history, "lr", {name: CYCLE[index % len(CYCLE)] for index, name in enumerate(_names(history, "lr"))})
    rate.set_ylabel("learning rate", fontsize=11)
    rate.set_ylim(bottom=0)
    rate.set_xlabel("epoch", fontsize=11)
    best = report["run"].get("best_epoch")
    for each in (loss, accuracy, rate):
        if best is not None:
            each.axvline(best + 1, color="#999999", linewidth=1.2, label="evaluated" if each is accuracy else None)
        each.xaxis.get_major_locator().set_params(integer=True)
        if each.get_legend_handles_labels()[0]:
            each.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def _names(history: Sequence[Mapping[str, Any]], what: str) -> list[str]:
    return list(dict.fromkeys(name for line in history for name in line.get(what) or {}))


def _lines(
    axes: Axes,
    history: Sequence[Mapping[str, Any]],
    what: str,
    colours: Mapping[str, str],
    *,
    labels: Mapping[str, str] | None = None,
    factor: float = 1,
) -> None:
    """One line for each name in ``colours`` that any epoch has a value of; epochs are drawn from 1 on."""
    epochs = [line["epoch"] + 1 for line in history]
    for index, (name, colour) in enumerate(colours.items()):
        values = numbers([(line.get(what) or {}).get(name) for line in history])
        if all(value != value for value in values):
            continue
        label, dash = (labels or {}).get(name, name), DASHES[index % len(DASHES)]
        marker = "o" if len(epochs) < 15 else None
        line = [factor * value for value in values]
        axes.plot(epochs, line, color=colour, linestyle=dash, linewidth=1.6, marker=marker, markersize=3, label=label)
