"""The page docs/faithfulness.md, made of what is compared and of what differs."""

from __future__ import annotations

from functools import cache

from tests import (
    faithfulness_centroids,
    faithfulness_losses,
    faithfulness_metrics,
    faithfulness_networks,
    faithfulness_runs,
    faithfulness_stages,
)
from tests.faithfulness_departures import LOSSES, NETWORKS, Departure
from tests.faithfulness_departures_of_runs import DATA, METRICS, RUNS
from tests.faithfulness_sheet import TESTS, Piece, Sheet

PAGE = TESTS.parent / "docs" / "faithfulness.md"
SECTIONS = {
    "Losses": faithfulness_losses.PIECES,
    "Centroids": faithfulness_centroids.PIECES,
    "Networks": faithfulness_networks.PIECES,
    "Metrics": faithfulness_metrics.PIECES,
    "Order of images, schedules, checkpoints": faithfulness_runs.PIECES,
    "Stages": faithfulness_stages.PIECES,
}
PIECES = [piece for pieces in SECTIONS.values() for piece in pieces]
INTRODUCTIONS = {"Stages": faithfulness_stages.INTRODUCTION}
ON_PURPOSE = {"Losses": LOSSES, "Networks": NETWORKS, "Images": DATA, "Metrics": METRICS, "Runs": RUNS}
DEPARTURES = [departure for departures in ON_PURPOSE.values() for departure in departures]
NUMBERS = {departure.key: number for number, departure in enumerate(DEPARTURES, start=1)}
OPENING = """\
# Faithfulness

What is equal to the published code, how closely, and what differs on purpose. The numbers of the published code lie
under `tests/golden/`: it was run on a CPU, once. `tests/test_faithfulness.py` computes ours, fails where one of them is
further off than the tolerance that came with the numbers, and holds this page to what it finds;
`python -m tests.test_faithfulness` writes the page anew.

Published code: [OLTR](https://github.com/zhmiao/OpenLongTailRecognition-OLTR) (Liu et al., 2019), its fork
[CFL](https://github.com/lnsmith54/CFL) (Smith, 2022), and where said so others. "Python configs" are theirs, which
[run as they are](from-oltr.md).

## What is equal

A number is *within* its tolerance when it differs by at most the absolute one plus the relative one times the published
number; *equal* is to the digit. The numbers after "see" are those of the second table.
"""
DIFFERENCES = """\
## What differs on purpose

The defaults are the methods as their papers define them. Published behaviour that is kept has a place of its
own: Python configs, the [doors](doors.md) in `loss/`, or an option. The tests in the last column hold each difference.
"""
CLOSING = """\
## What there is no part for yet

LDAM and its deferred weights, balanced softmax, logit adjustment, τ-normalised classifiers, mixup and its kin, SAM,
softmax gradient tampering, and the CIFAR networks of other repositories.
"""


@cache
def compared(piece: Piece) -> Sheet:
    """The piece compared; a deviation is an AssertionError."""
    sheet = Sheet()
    piece.compare(sheet)
    return sheet


def page() -> str:
    """The page as it should stand."""
    lines = [OPENING]
    for title, pieces in SECTIONS.items():
        lines += [
            f"### {title}\n",
            *([INTRODUCTIONS[title]] if title in INTRODUCTIONS else []),
            "| Piece | Published | Here | Numbers | Relative / absolute | |",
            "|---|---|---|---:|---|---|",
        ]
        lines += [row(piece, compared(piece)) for piece in pieces] + [""]
    lines.append(DIFFERENCES)
    for title, departures in ON_PURPOSE.items():
        lines += [
            f"### {title}: differences\n",
            "| | Published | Here | Why | Kept in | Tests |",
            "|---:|---|---|---|---|---|",
        ]
        for item in departures:
            kept = item.kept or "-"
            lines.append(
                f"| {NUMBERS[item.key]} | {item.published} | {item.ours} | {item.why} | {kept} | {links(item)} |"
            )
        lines.append("")
    return "\n".join([*lines, CLOSING])


def row(piece: Piece, sheet: Sheet) -> str:
    near = [f"{shown(relative)} / {shown(absolute)}" for relative, absolute in sorted(sheet.tolerances) if absolute]
    equal = ["equal"] if (0.0, 0.0) in sheet.tolerances else []
    tolerance = piece.near or "; ".join([*equal, *near])
    said = ["within" if near or piece.near else "equal"]
    if sheet.undefined:
        said.append(f"{sheet.undefined} more are {'undefined' if piece.held else 'NaN'} there")
    if piece.departs:
        said.append("see " + ", ".join(str(NUMBERS[key]) for key in piece.departs))
    if piece.held:
        said.append(f"held by {link(piece.held)}")
    return f"| {piece.name} | {piece.published} | {piece.ours} | {sheet.numbers:,} | {tolerance} | {'; '.join(said)} |"


def shown(number: float) -> str:
    mantissa, _, exponent = f"{number:e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def links(departure: Departure) -> str:
    return "; ".join(map(link, departure.tests))


def link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../tests/{path})"
