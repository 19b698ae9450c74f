"""The files of a report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oltr.atomic import write_bytes
from oltr.report.html import page
from oltr.report.markdown import CAPTIONS, markdown
from oltr.report.pictures import pictures
from oltr.report.style import png


def write(report: Mapping[str, Any], folder: Path, history: Sequence[Mapping[str, Any]] = ()) -> list[Path]:
    """Write report.json, the pictures, report.md and report.html into ``folder``.

    ``history`` has a line for each epoch trained. Each file is replaced as a whole, report.json last: where it stands,
    the others do. A picture of an earlier report that this one has nothing to draw for is removed.
    """
    figures = pictures(report, history)
    content = {name: png(figure) for name, figure in figures.items()}
    for figure in figures.values():
        figure.set_layout_engine("none")  # as it was laid out for the first file, it stands in the second
    texts = {
        "report.md": markdown(report, list(content)),
        "report.html": page([report], [history], drawn=figures),
        "report.json": json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    }
    content |= {name: text.encode("utf-8") for name, text in texts.items()}
    for name, data in content.items():
        write_bytes(folder / name, data)
    for name in CAPTIONS.keys() - content.keys():
        (folder / name).unlink(missing_ok=True)
    return [folder / name for name in content]
