"""The command `python -m benchmarks.parity`: two epochs of both stages, by the published code and by ours."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import parity_measured, parity_ours
from benchmarks.parity_measured import Measured, Record, compare
from benchmarks.parity_recording import made_by, record
from benchmarks.parity_runs import PRECISIONS
from oltr.contracts import RunError, UserError

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what both compute, number by number; 1 where they do not agree."""
    chosen = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.ERROR)
    try:
        theirs = _theirs(chosen)
        agree = [_report(precision, theirs[precision]) for precision in chosen.precision]
    except UserError as error:
        return _fail(error, 2)
    except RunError as error:
        return _fail(error, 1)
    return 0 if all(agree) else 1


def _theirs(chosen: argparse.Namespace) -> dict[str, Record]:
    """What the published code computes: recorded now, or before."""
    if chosen.published is None:
        if chosen.write is not None or chosen.fork is not None:
            raise UserError("--write and --fork go with --published, a checkout of the published code")
        made, records = parity_measured.load(GOLDEN)
        _tell(f"the published code as recorded in {GOLDEN}, commit {made['published']['commit']}")
        return records
    records = {name: record(chosen.published, chosen.fork, name, _tell) for name in chosen.precision}
    if chosen.write is not None:
        parity_measured.save(chosen.write, made_by(chosen.published, chosen.fork), records)
    return records


def _report(precision: str, theirs: Record) -> bool:
    ours = parity_ours.train(precision, _tell, theirs)
    agree = [_print(f"{run}, {precision}:", ours[run], theirs[run], precision) for run in theirs]
    return all(agree)


def _print(title: str, ours: Measured, theirs: Measured, precision: str) -> bool:
    rows = list(compare(ours, theirs, precision))
    print(f"\n{title:30}{'ours':>20}{'published':>20}{'difference':>12}{'allowed':>12}")
    for row in rows:
        gap = "" if row.ours is None or row.theirs is None else f"{abs(row.ours - row.theirs):.1e}"
        verdict = "" if row.agrees else "  differs"
        print(f"{row.what:30}{_said(row.ours):>20}{_said(row.theirs):>20}{gap:>12}{row.allowed:>12.1e}{verdict}")
    return all(row.agrees for row in rows)


def _said(number: float | None) -> str:
    return "-" if number is None else f"{number:.12g}"


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _fail(error: Exception, code: int) -> int:
    print(f"benchmarks.parity: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.parity",
        description="Both stages, two epochs each, on generated images: our runner beside the published code.",
    )
    parser.add_argument("--published", type=Path, metavar="OLTR", help="its checkout (default: what was recorded)")
    parser.add_argument("--fork", type=Path, metavar="CFL/OLTR", help="the folder OLTR of a checkout of CFL")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="where the record of the published code goes")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=PRECISIONS, help="of the arithmetic")
    return parser


if __name__ == "__main__":
    sys.exit(main())
