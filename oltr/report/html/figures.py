"""Pictures as SVG that stands in a page among others: small, selectable text, colours that follow the theme."""

from __future__ import annotations

import re
import warnings
from io import StringIO

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from oltr.report.style import COLOURS, CYCLE

MOST_MARKS = 1500
"""A scatter of more points than this is a bitmap within the SVG: the file stays small."""
THEMED = {
    **{colour.lower(): f"var(--series-{index + 1})" for index, colour in enumerate(CYCLE)},
    COLOURS["all"]: "currentColor",
    "#e5e5e5": "var(--line)",
    "#cccccc": "var(--line)",
    "#ffffff": "var(--card)",
}
"""Colours of the pictures by what they are in the page's style."""


def svg(figure: Figure, *, name: str, title: str) -> Markup:
    """``figure`` as an ``<svg>`` element whose ids all begin with ``name``."""
    for axes in figure.axes:
        for marks in axes.collections:
            marks.set_rasterized(len(marks.get_offsets()) > MOST_MARKS)  # type: ignore[arg-type]
    stream = StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    return Markup(_embedded(stream.getvalue(), name, title))


def _embedded(document: str, name: str, title: str) -> str:
    body = document[document.index("<svg") :]
    size = re.search(r'viewBox="([^"]*)"', body)
    body = re.sub(r"^<svg[^>]*>", "", body)
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'( id="|xlink:href="#|url\(#)', lambda found: found[0] + name + "-", body)
    body = body.replace("xlink:href", "href")
    body = re.sub(r"font: ([^;\"]*?)(\d[\d.]*px) [^;\"]*", r"font: \1\2 var(--font)", body)
    body = re.sub(r"((?:stroke|fill): )(#[0-9a-f]{6})", _themed, body)
    body = re.sub(r"\s*\n\s*", " ", body)
    heading = f'<title id="{name}-title">{escape(title)}</title>'
    box = size[1] if size else "0 0 576 317"
    return f'<svg role="img" aria-labelledby="{name}-title" viewBox="{box}">{heading}{body}'


def _themed(found: re.Match[str]) -> str:
    """Ink is only drawn with: where it fills, it is text upon a coloured field, and stays as it is."""
    if found[2] == "#333333" and found[1].startswith("stroke"):
        return f"{found[1]}currentColor"
    return found[1] + THEMED.get(found[2], found[2])
