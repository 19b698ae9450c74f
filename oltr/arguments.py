"""What users may type after `oltr`; what is mistyped is one line on stderr, with the nearest right answer."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from oltr import __version__
from oltr.plugins import nearest
from oltr.published.cfl import DEFAULTS

OUTPUT_LOGITS = ("--output_logits", "--output-logits")
TRUTHS = {"true": True, "false": False}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line; options are written out, so that none is meant by mistake."""

    def __init__(self, *, prog: str, description: str | None = None, help: str | None = None) -> None:
        super().__init__(prog=prog, description=description or help, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; `{self.prog} --help` tells more\n")

    def unknown(self, words: Sequence[str]) -> NoReturn:
        """Refuse what stands among the arguments and means nothing."""
        word = words[0].partition("=")[0]
        if not word.startswith("-"):
            self.error(f"unexpected argument {words[0]!r}")
        options = {found for found in re.findall(r"--[\w-]+", self.format_help()) if found != word}
        self.error(f"unknown option {word!r}{nearest(word, options)}")


def parser() -> Parser:
    """Of `oltr COMMAND …`; the command's name is the argument ``command``."""
    top = Parser(prog="oltr", description="Benchmark suite for open long-tailed recognition.")
    top.add_argument("--version", action="version", version=f"oltr {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    add_run(commands.add_parser("run", help="train and evaluate a stage, and the stages it starts from"))
    for name, text in (
        ("check", "validate a config and every part that it names"),
        ("show", "print a config as it is resolved"),
    ):
        _add_config(_named(commands.add_parser(name, help=text), name))
    listing = _named(commands.add_parser("plugins", help="list every installed part"), "plugins")
    listing.add_argument("kind", nargs="?", help="of this kind only, such as losses")
    again = commands.add_parser("report", help="recompute and compare runs from their stored predictions")
    _named(again, "report").add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="a run's folder (…/seed_0), or its test or test_open"
    )
    again.add_argument("--scorers", metavar="A,B,…", help="score them with these, or with `all`, instead of their own")
    again.add_argument("--html", type=Path, metavar="FILE", help="also write one page that compares the runs")
    _add_bench(commands.add_parser("bench", help="run a suite of methods and seeds, and compare them"))
    _add_import(commands.add_parser("import", help="make a run of another program's checkpoint or logits"))
    _add_export(commands.add_parser("export", help="write a run's best weights as the published code does"))
    old = _named(commands.add_parser("convert", help="write a published Python config as YAML"), "convert")
    old.add_argument("old", type=Path, metavar="OLD.py", help="a config of the published OLTR or CFL code")
    old.add_argument("-o", "--output", type=Path, metavar="NEW.yaml", help="where to write it (default: to stdout)")
    data = commands.add_parser("data", help="look at a data set").add_subparsers(metavar="WHAT", required=True)
    data_check = _named(data.add_parser("check", help="which files a data set needs, and what was found"), "data check")
    data_check.add_argument("name", help="a data set, such as imagenet_lt")
    data_check.add_argument("overrides", nargs="*", metavar="key=value", help="its options")
    data_check.add_argument("--data-root", type=Path, help="the folder under which the data lie")
    doctor = _named(
        commands.add_parser("doctor", help="what this machine offers, and what makes runs faster"), "doctor"
    )
    doctor.add_argument("--measure", action="store_true", help="also time training steps under each memory allocator")
    return top


def add_run(run: Parser) -> Parser:
    """The options of `oltr run`, which `python main.py` has as well."""
    _add_config(_named(run, "run"))
    run.add_argument("--test", action="store_true", help="only evaluate the stored best model, on the closed test set")
    run.add_argument("--test_open", "--test-open", action="store_true", help="the same with the open set")
    run.add_argument(
        *OUTPUT_LOGITS, type=_truth, default=False, metavar="[True|False]", help="also export logits as npz"
    )
    run.add_argument("--data-root", type=Path, help="the folder under which the data lie")
    run.add_argument("--out", type=Path, help="where runs are written (default: runs)")
    run.add_argument("--device", default="auto", help="cpu, cuda, cuda:1 or auto (default)")
    how = run.add_mutually_exclusive_group()
    how.add_argument("--resume", action="store_true", help="go on with a run that did not end")
    how.add_argument("--fresh", action="store_true", help="run anew and remove the earlier result")
    return run


def _add_bench(bench: Parser) -> None:
    _named(bench, "bench").add_argument(
        "suite", type=Path, metavar="SUITE.yaml", help="such as config/suites/glyphs.yaml"
    )
    bench.add_argument("--out", type=Path, help="where runs and results are written (default: runs/SUITE)")
    bench.add_argument("--jobs", type=_positive, default=1, metavar="N", help="runs side by side (default: 1)")
    bench.add_argument("--seeds", type=_seed, nargs="+", metavar="SEED", help="instead of the suite's")
    bench.add_argument("--only", nargs="+", metavar="METHOD", help="these methods of the suite alone")
    bench.add_argument("--data-root", type=Path, help="the folder under which the data lie")
    bench.add_argument("--device", default="auto", help="cpu, cuda, cuda:1 or auto (default)")
    bench.add_argument("--markdown", type=Path, metavar="FILE.md", help="also write all tables and tests as Markdown")
    bench.add_argument("--latex", type=Path, metavar="FILE.tex", help="also write the tables as LaTeX")
    bench.add_argument("--html", type=Path, metavar="FILE.html", help="the report's place (default: OUT/report.html)")
    bench.add_argument("--dry-run", action="store_true", help="only list the runs, and which of them are done")


def _add_import(imported: Parser) -> None:
    _named(imported, "import").add_argument(
        "files", nargs="+", metavar="FILE", help="a checkpoint, or logits_close.npz, logits_open.npz or both"
    )
    _add_config(imported)
    imported.add_argument("--data-root", type=Path, help="the folder under which the data lie")
    imported.add_argument("--out", type=Path, help="where runs are written (default: runs)")
    imported.add_argument("--device", default="auto", help="cpu, cuda, cuda:1 or auto (default)")
    imported.add_argument("--fresh", action="store_true", help="put it in the place of an earlier run")


def _add_export(exported: Parser) -> None:
    _named(exported, "export").add_argument("run", type=Path, metavar="RUN", help="a run's folder (…/seed_0)")
    exported.add_argument("--output", type=Path, metavar="FILE", help="default: RUN/final_model_checkpoint.pth")
    exported.add_argument("--force", action="store_true", help="replace a file that was not exported before")


def parse(chosen_by: Parser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Overrides may stand anywhere among the options, which argparse alone does not allow."""
    chosen, rest = chosen_by.parse_known_args(_joined(sys.argv[1:] if arguments is None else arguments))
    stray = [word for word in rest if word.startswith("-") or "=" not in word or not hasattr(chosen, "overrides")]
    if stray:
        chosen.parser.unknown(stray)
    if rest:
        chosen.overrides = [*chosen.overrides, *rest]
    return chosen


def _joined(words: Sequence[str]) -> list[str]:
    """The words with --output_logits and its value, which may be left out, as one: else it would eat an override."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == f"{OUTPUT_LOGITS[0]}=True" and word.lower() in TRUTHS:
            joined[-1] = f"{OUTPUT_LOGITS[0]}={word}"
        else:
            joined.append(f"{OUTPUT_LOGITS[0]}=True" if word in OUTPUT_LOGITS else word)
    return joined


def _named(chosen: Parser, command: str) -> Parser:
    chosen.set_defaults(command=command, parser=chosen)
    return chosen


def _add_config(chosen: Parser) -> None:
    chosen.add_argument(
        "--config", type=Path, required=True, help="a stage's config, such as config/Glyphs_LT/stage_1.yaml"
    )
    chosen.add_argument("overrides", nargs="*", metavar="key.path=value", help="set a key of the config")
    chosen.add_argument("--seed", type=_seed, help="the run's seed, instead of the config's")
    published = chosen.add_argument_group("for a published Python config with cfl in its name, which they overwrite")
    for option, default in DEFAULTS.items():
        published.add_argument(f"--{option}", type=_number, metavar="N", help=f"default: {default:g}")


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"a whole number from 0 on, not {text!r}")
    return int(text)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on, not {text!r}")
    return int(text)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"a number, not {text!r}")
    return int(number) if number == int(number) else number


def _truth(text: str) -> bool:
    if text.lower() not in TRUTHS:
        raise argparse.ArgumentTypeError(f"True or False, not {text!r}")
    return TRUTHS[text.lower()]
