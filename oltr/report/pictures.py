"""All pictures of a report, by file name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from oltr.report.class_pictures import accuracy_by_class, confusion
from oltr.report.open_pictures import f_against_threshold, roc, score_histograms
from oltr.report.training_picture import training_curves


def pictures(report: Mapping[str, Any], history: Sequence[Mapping[str, Any]] = ()) -> dict[str, Figure]:
    """Those that the report has something to draw for."""
    drawn = {
        "accuracy_by_class.png": accuracy_by_class(report),
        "confusion.png": confusion(report),
        "score_histograms.png": score_histograms(report),
        "roc.png": roc(report),
        "f_measures.png": f_against_threshold(report),
        "training.png": training_curves(report, history),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}
