"""The critical-difference diagram of Demšar (2006) as SVG: mean ranks on a line, bars over what does not differ."""

from __future__ import annotations

from io import BytesIO

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from oltr.bench.ranks import Ranks

INK = "#333333"
BAR = "#0072B2"
LINE = 0.26
"""Height of a line of text, in inches."""


def diagram(ranks: Ranks, title: str) -> str:
    """The best on the left; each name beside its mean rank; a thick bar joins ranks within the critical difference."""
    order = sorted(range(len(ranks.names)), key=lambda index: ranks.average[index])
    half = (len(order) + 1) // 2
    top = 2.4 + 0.6 * len(ranks.cliques)  # lines between the axis and the first name
    lines = top + half + 3
    figure = Figure(figsize=(9.0, LINE * lines + 0.4))
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0.27, 0.02, 0.46, 0.9))
    axes.set_xlim(1, len(order))
    axes.set_ylim(lines - 1.5, -3)
    axes.axis("off")
    figure.suptitle(title, fontsize=11, color=INK)
    _scale(axes, ranks)
    for place, index in enumerate(order):
        left = place < half
        height = top + (place if left else len(order) - 1 - place)
        _name(axes, ranks, index, height, left=left)
    for line, clique in enumerate(ranks.cliques):
        ends = [ranks.average[clique[0]], ranks.average[clique[-1]]]
        axes.plot(ends, [0.9 + 0.6 * line] * 2, color=BAR, linewidth=4, solid_capstyle="round")
    return _svg(figure, title)


def _scale(axes: Axes, ranks: Ranks) -> None:
    """The line of ranks, and above it the length of the critical difference."""
    count = len(ranks.names)
    axes.plot([1, count], [0, 0], color=INK, linewidth=1)
    step = max(1, round(count / 10))
    for tick in range(1, count + 1, step):
        axes.plot([tick, tick], [0, -0.25], color=INK, linewidth=1)
        axes.text(tick, -0.45, str(tick), ha="center", va="bottom", fontsize=9, color=INK)
    length = min(ranks.critical_difference, count - 1)
    cut = " (longer than the scale)" if length < ranks.critical_difference else ""
    axes.plot([1, 1 + length], [-1.9, -1.9], color=INK, linewidth=2)
    text = f"critical difference {ranks.critical_difference:.2f}{cut}, {ranks.blocks} blocks"
    axes.text(1, -2.1, text, ha="left", va="bottom", fontsize=9, color=INK)


def _name(axes: Axes, ranks: Ranks, index: int, height: float, *, left: bool) -> None:
    """A treatment at one side, joined to its place on the scale."""
    rank, edge, side = ranks.average[index], (1 if left else len(ranks.names)), ("right" if left else "left")
    away = 0.02 * (len(ranks.names) - 1) * (-1 if left else 1)
    axes.plot([rank, rank, edge], [0, height, height], color=INK, linewidth=0.8)
    label = f"{ranks.names[index]}  {rank:.2f}" if left else f"{rank:.2f}  {ranks.names[index]}"
    axes.text(edge + away, height, label, ha=side, va="center", fontsize=9, color=INK, parse_math=False)


def _svg(figure: Figure, title: str) -> str:
    """The same bytes for the same ranks; letters stay letters."""
    stream = BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.family": "sans-serif"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Title": title}, facecolor="white")
    return stream.getvalue().decode("utf-8")
