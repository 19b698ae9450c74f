"""Both published stages beside ours, as tests/test_parity.py trains and compares them: what that amounts to."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.parity_measured import TOLERANCES, compare, load
from tests.faithfulness_sheet import FOLDER, Piece, Sheet

INTRODUCTION = """\
The published configs of ImageNet-LT in small, two epochs each, on generated images in its layout: trained by the
published code and by this suite with the same order of images and the same first weights. Compared are losses and
accuracies of each epoch, the best epoch, what `--test` and `--test_open` give, their logits, the centroids, mean and
size of every weight. In float32 sums are rounded in another order, and two epochs enlarge that: the tolerance is more
than twice the distance of the published code from itself in float64. `tests/golden/two_stages.json` tells what was put
in the place of its draws and devices as it ran; `python -m benchmarks.parity` trains ours again and prints both.
"""
IN_FLOAT64 = ("stage_1", "stage_2_cfl_meta_embedding")
"""The stages that are trained here in float64 too; the other two hold the same formulas."""


def counted(sheet: Sheet, precision: str, stages: Iterable[str]) -> None:
    """Count what is compared: single numbers, and those in arrays."""
    for stage in stages:
        measured = RECORDS[precision][stage]
        for row in compare(measured, measured, precision):
            if not row.what.endswith("distance"):
                sheet.numbers += row.theirs is not None
                sheet.undefined += row.theirs is None
        sheet.numbers += sum(array.size for name, array in measured.arrays.items() if name != "weight_names")


def told(precision: str) -> str:
    near = TOLERANCES[precision]
    text = (
        f"shares equal; losses {near.losses:.0e}; weights and centroids {near.weights:.0e} and logits {near.logits:.0e}"
    )
    return f"{text} of their array's scale".replace("e-0", "e-")


_, RECORDS = load(FOLDER)
_CODE = "OLTR and CFL `main.py`"
PIECES = (
    Piece(
        name="Stage 1, and stage 2 with cyclical focal loss, in float64",
        published=_CODE,
        ours="`oltr run` with the same configs",
        compare=lambda sheet: counted(sheet, "float64", IN_FLOAT64),
        near=told("float64"),
        held="test_parity.py::test_in_float64_the_formulas_are_the_published_ones",
        departs=("random numbers", "resizing"),
    ),
    Piece(
        name="Both stages, plain and with cyclical focal loss, in float32",
        published=_CODE,
        ours="`oltr run` with the same configs",
        compare=lambda sheet: counted(sheet, "float32", RECORDS["float32"]),
        near=told("float32"),
        held="test_parity.py::test_in_float32_published_configs_give_the_published_numbers",
        departs=("random numbers", "resizing"),
    ),
)
