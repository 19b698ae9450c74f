"""How the pictures look: colours that the colour-blind tell apart (Okabe and Ito, 2008), one size, one font size."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS: Mapping[str, str] = {
    "many": "#0072B2",
    "medium": "#009E73",
    "few": "#D55E00",
    "common": "#0072B2",
    "open": "#CC79A7",
    "far": "#E69F00",
    "all": "#000000",
}
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C00")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
INK = "#333333"


def new_figure(title: str, run: str, *, rows: int = 1, columns: int = 1, height: float = 4.4) -> tuple[Figure, Any]:
    """A titled figure and its axes, [rows, columns]."""
    figure = Figure(figsize=(8.0, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}\n{textwrap.shorten(run, 90, placeholder=' …')}", fontsize=12)
    axes = figure.subplots(rows, columns, squeeze=False)
    for each in axes.flat:
        tidy(each)
    return figure, axes


def tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10)
    axes.grid(True, color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)


def png(figure: Figure) -> bytes:
    stream = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a class name in any script: boxes
        figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    return stream.getvalue()


def numbers(values: list[float | None]) -> list[float]:
    """``values`` with NaN for what is not defined, as a line is drawn: with a gap."""
    return [float("nan") if value is None else float(value) for value in values]
