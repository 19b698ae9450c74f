"""The command `python -m benchmarks`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rows import DisagreementError
from benchmarks.running import Settings, run
from benchmarks.suites import SUITES, UnknownRowError, row_named
from benchmarks.table import markdown, write
from oltr.contracts import RunError, UserError

RESULTS = Path(__file__).parent / "results"
QUICK_ROUNDS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; returns the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        rows = SUITES[chosen.suite]
        if chosen.rows:
            rows = tuple(row_named(name, rows) for name in chosen.rows)
        elif chosen.quick:
            rows = tuple(row for row in rows if not row.heavy)
        rounds = chosen.rounds or (QUICK_ROUNDS if chosen.quick else Settings.rounds)
        settings = Settings(rounds=rounds, threads=chosen.threads, memory=not chosen.quick)
        results = run(chosen.suite, rows, settings, lambda line: print(line, file=sys.stderr))
        print(markdown(results), end="")
        out = chosen.out or (None if chosen.rows or chosen.quick else RESULTS)
        for path in write(results, out) if out else []:
            print(f"written: {path}", file=sys.stderr)
    except (UnknownRowError, UserError) as error:
        return _fail(error, 2)
    except (DisagreementError, RunError) as error:
        return _fail(error, 1)
    return 0


def _fail(error: Exception, code: int) -> int:
    print(f"benchmarks: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Hot spots of the suite beside plain twins.")
    parser.add_argument("--suite", choices=SUITES, default="cpu")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--rounds", type=_count, help=f"default {Settings.rounds}, with --quick {QUICK_ROUNDS}")
    parser.add_argument("--threads", type=_count, default=Settings.threads, help="of torch (default: 1)")
    parser.add_argument("--quick", action="store_true", help="few rounds, no memory, without what takes long")
    parser.add_argument(
        "--out", type=Path, help="where the files go (default: benchmarks/results, or nowhere with --rows or --quick)"
    )
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
