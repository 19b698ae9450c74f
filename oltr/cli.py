"""The command `oltr`: what users type, see and get back. Heavy imports wait until a command needs them."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from oltr import __version__
from oltr.contracts import RunError, UserError
from oltr.options import OptionError

if TYPE_CHECKING:
    from oltr.config import StageConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """`oltr COMMAND …`: returns the exit code."""
    return _guarded(_parse(_parser(), arguments))


def main_run(arguments: Sequence[str] | None = None) -> int:
    """`python main.py …`: the same as `oltr run …`."""
    parser = argparse.ArgumentParser(prog="main.py", description="Train and evaluate one stage, and those it needs.")
    _add_run(parser)
    return _guarded(_parse(parser, arguments))


def _parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Overrides may stand anywhere among the options, which argparse alone does not allow."""
    chosen, rest = parser.parse_known_args(arguments)
    stray = [word for word in rest if word.startswith("-") or "=" not in word or not hasattr(chosen, "overrides")]
    if stray:
        parser.error(f"unrecognized arguments: {' '.join(stray)}")
    if rest:
        chosen.overrides = [*chosen.overrides, *rest]
    return chosen


def _guarded(chosen: argparse.Namespace) -> int:
    """Run the chosen command; errors that a user can act on are one line on stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("oltr")
    log.handlers, log.level = [handler], logging.INFO
    command: Callable[[argparse.Namespace], int] = chosen.command
    try:
        return command(chosen)
    except (UserError, OptionError) as error:
        return _fail(error, 2)
    except RunError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted; --resume goes on from the last epoch that ended", 130)
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _fail(error: object, code: int) -> int:
    print(f"oltr: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="oltr", description="Benchmark suite for open long-tailed recognition.")
    parser.add_argument("--version", action="version", version=f"oltr {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_run(commands.add_parser("run", help="train and evaluate a stage, and the stages it starts from"))
    check = commands.add_parser("check", help="validate a config and every part that it names")
    check.set_defaults(command=_check)
    show = commands.add_parser("show", help="print a config as it is resolved")
    show.set_defaults(command=_show)
    for parser_of_config in (check, show):
        _add_config(parser_of_config)
    listing = commands.add_parser("plugins", help="list every installed part")
    listing.add_argument("kind", nargs="?", help="of this kind only, such as losses")
    listing.set_defaults(command=_plugins)
    report = commands.add_parser("report", help="recompute and compare runs from their stored predictions")
    report.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder (…/seed_0)")
    report.set_defaults(command=_report)
    data = commands.add_parser("data", help="look at a data set").add_subparsers(metavar="WHAT", required=True)
    data_check = data.add_parser("check", help="which files a data set needs, and what was found")
    data_check.add_argument("name", help="a data set, such as imagenet_lt")
    data_check.add_argument("options", nargs="*", metavar="key=value", help="its options")
    data_check.add_argument("--data-root", type=Path, help="the folder under which the data lie")
    data_check.set_defaults(command=_data_check)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, required=True, help="a stage's config, such as config/Glyphs_LT/stage_1.yaml"
    )
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="set a key of the config")
    parser.add_argument("--seed", type=int, help="the run's seed, instead of the config's")


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument(
        "--test", action="store_true", help="only evaluate the stored best model, on the closed test set"
    )
    parser.add_argument("--test_open", "--test-open", action="store_true", help="the same with the open set")
    parser.add_argument("--output_logits", "--output-logits", action="store_true", help="also export logits as npz")
    parser.add_argument("--data-root", type=Path, help="the folder under which the data lie")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="where runs are written (default: runs)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1 or auto (default)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--resume", action="store_true", help="go on with a run that did not end")
    how.add_argument("--fresh", action="store_true", help="run anew and remove the earlier result")
    parser.set_defaults(command=_run)


def _run(chosen: argparse.Namespace) -> int:
    from oltr.predictions import Predictions, export_npz
    from oltr.run import Request, run_stage, test_stage

    request = Request(
        config=chosen.config,
        overrides=tuple(chosen.overrides),
        out=chosen.out,
        data_root=chosen.data_root,
        device=chosen.device,
        seed=chosen.seed,
        resume=chosen.resume,
        fresh=chosen.fresh,
        command=_command(chosen),
    )
    if chosen.test or chosen.test_open:
        folders = [test_stage(request, with_open=False)] if chosen.test else []
        folders += [test_stage(request, with_open=True)] if chosen.test_open else []
    else:
        folders = [run_stage(request).path]
    for folder in folders:
        if chosen.output_logits:
            export_npz(Predictions.open(folder / "predictions.h5"), folder)
        print(_table([folder / "report.json"]), end="")
        print(f"report: {folder / 'report.md'}")
    return 0


def _command(chosen: argparse.Namespace) -> str:
    """What to type to get this result again."""
    words = ["python", "main.py", "--config", str(chosen.config), *chosen.overrides]
    for option in ("data_root", "out", "seed"):
        value = getattr(chosen, option)
        if value is not None and value != Path("runs"):
            words += [f"--{option.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _check(chosen: argparse.Namespace) -> int:
    from oltr import config

    stage = _config(chosen)
    config.check(stage, str(chosen.config))
    before = config.predecessor(chosen.config, stage)
    print(f"{chosen.config} is valid" + (f"; it starts from {before}" if before else ""))
    return 0


def _show(chosen: argparse.Namespace) -> int:
    from oltr import config
    from oltr.plain_data import write_yaml

    print(write_yaml(config.plain(_config(chosen))), end="")
    return 0


def _plugins(chosen: argparse.Namespace) -> int:
    from oltr.plugins import KINDS, nearest

    kinds = {kind.group.rpartition(".")[2]: kind for kind in KINDS}
    if chosen.kind is not None and chosen.kind not in kinds:
        raise UserError(f"no kind {chosen.kind!r}{nearest(chosen.kind, kinds)}")
    rows = [
        (name, plugin.name, f"{plugin.distribution} {plugin.version}", plugin.value)
        for name, kind in kinds.items()
        if chosen.kind in (None, name)
        for plugin in kind.plugins
    ]
    if not rows:
        raise UserError("no parts found: not installed? run `pip install -e .`")
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join(word.ljust(width) for word, width in zip(row, [*widths, 0], strict=True)).rstrip())
    return 0


def _report(chosen: argparse.Namespace) -> int:
    from oltr.run import report_again

    for run in chosen.runs:
        report_again(run)
    print(_table([run / "report.json" for run in chosen.runs]), end="")
    return 0


def _data_check(chosen: argparse.Namespace) -> int:
    from oltr.plain_data import override
    from oltr.plugins import DATASETS

    found = DATASETS.build(chosen.name, override({}, chosen.options), root=chosen.data_root).check()
    print("\n".join(found.lines))
    return 0 if found.ok else 2


def _config(chosen: argparse.Namespace) -> StageConfig:
    from dataclasses import replace

    from oltr import config

    stage = config.load(chosen.config, chosen.overrides)
    return stage if chosen.seed is None else replace(stage, seed=chosen.seed)


def _table(paths: Sequence[Path]) -> str:
    import json

    from oltr.report import compare, table

    reports = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return compare(reports) if len(reports) > 1 else table(reports) + "\n"
