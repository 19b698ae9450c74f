"""The command `python -m benchmarks`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rows import DisagreementError
from benchmarks.running import Settings
from benchmarks.suites import SUITES, UnknownRowError
from benchmarks.table import write
from oltr.contracts import RunError, UserError

RESULTS = Path(__file__).parent / "results"
IMAGES = Path(__file__).parents[1] / "docs" / "images"
QUICK_ROUNDS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; returns the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        rounds = chosen.rounds or (QUICK_ROUNDS if chosen.quick else Settings.rounds)
        settings = Settings(
            rounds=rounds, threads=chosen.threads, memory=not chosen.quick, tiny=chosen.tiny, quick=chosen.quick
        )
        if chosen.reference is None and chosen.fork is not None:
            raise UserError("--fork goes with --reference, a checkout of the original")
        if chosen.reference is not None and chosen.suite != "cpu":
            raise UserError(f"--reference goes with the suite cpu, not with {chosen.suite}")
        whole = not (chosen.rows or chosen.quick or chosen.tiny)
        out: Path | None = chosen.out or (RESULTS if whole else None)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)  # before what takes long: a folder that cannot be made shows now
        suite = SUITES["reference" if chosen.reference is not None else chosen.suite]
        results = suite.run(chosen, settings, _tell)
        print(suite.page(results), end="")
        if out is not None:
            paths = write(results, out, suite.page)
            if suite.draw is not None:
                paths += suite.draw(results, IMAGES if out == RESULTS else out)
            for path in paths:
                _tell(f"written: {path}")
    except (UnknownRowError, UserError) as error:
        return _fail(error, 2)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else error, 2)
    except (DisagreementError, RunError) as error:
        return _fail(error, 1)
    return 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _fail(error: object, code: int) -> int:
    print(f"benchmarks: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Hot spots of the suite beside plain twins.")
    suites = [name for name in SUITES if name != "reference"]
    parser.add_argument("--suite", choices=suites, default="cpu")
    parser.add_argument("--reference", type=Path, metavar="DIR", help="a checkout of the original, measured in turn")
    parser.add_argument("--fork", type=Path, metavar="DIR", help="with it, the folder OLTR of a checkout of CFL")
    parser.add_argument("--device", help="of the suite gpu (default: the first GPU)")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--rounds", type=_count, help=f"default {Settings.rounds}, with --quick {QUICK_ROUNDS}")
    parser.add_argument("--threads", type=_count, default=Settings.threads, help="of torch (default: 1)")
    parser.add_argument("--quick", action="store_true", help="few rounds, no memory, without what takes long")
    parser.add_argument("--tiny", action="store_true", help="sizes that show nothing but that it runs")
    parser.add_argument(
        "--out", type=Path, help="where the files go (default: benchmarks/results, or nowhere with --rows or --quick)"
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
