"""The command `oltr`: what users type, see and get back. Heavy imports wait until a command needs them."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from oltr.arguments import Parser, add_run, parse, parser
from oltr.contracts import RunError, Silence, UserError
from oltr.interruption import heard
from oltr.options import OptionError
from oltr.published.cfl import DEFAULTS

if TYPE_CHECKING:
    from oltr.processes import Processes
    from oltr.run import Request
    from oltr.stage_config import StageConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """`oltr COMMAND …`: returns the exit code."""
    return _guarded(parse(parser(), arguments))


def main_run(arguments: Sequence[str] | None = None) -> int:
    """`python main.py …`: the same as `oltr run …`."""
    described = "Train and evaluate one stage, and those it needs."
    return _guarded(parse(add_run(Parser(prog="main.py", description=described)), arguments))


def _guarded(chosen: argparse.Namespace) -> int:
    """Run the chosen command; errors that a user can act on are one line on stderr."""
    handler, log = logging.StreamHandler(), logging.getLogger("oltr")
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        with heard():
            return COMMANDS[chosen.command](chosen)
    except Silence as silence:
        return silence.code  # the first process of the job says why
    except (UserError, OptionError) as error:
        return _fail(error, 2)
    except RunError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        hint = HINTS.get(chosen.command, "")
        return _fail(f"interrupted{hint}", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read stdout has seen enough
        return 0
    except OSError as error:
        if not error.filename and error.errno is None:
            raise
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}", 1 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 2)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not imported for a command's help
            raise
        told = ". ".join(str(error).split(". ")[:2])
        hint = "a smaller batch_size or evaluation.batch_size, or more parts (compute.accumulate), take less"
        return _fail(f"{told}; {hint}, in a run of its own (--fresh or another --out)", 1)
    finally:
        log.removeHandler(handler)


def _fail(error: object, code: int) -> int:
    print(f"oltr: {error}", file=sys.stderr)
    return code


def _run(chosen: argparse.Namespace) -> int:
    from oltr.allocator import keep_freed_memory
    from oltr.parallel import choose_device
    from oltr.processes import joined

    keep_freed_memory()
    with joined(choose_device(chosen.device)) as processes:
        if not processes.first:
            logging.getLogger("oltr").setLevel(logging.ERROR)
        return _run_in(processes, chosen)


def _run_in(processes: Processes, chosen: argparse.Namespace) -> int:
    """The stages that are asked for, run together with the other processes of a job."""
    from dataclasses import replace

    from oltr.predictions import Predictions, export_npz
    from oltr.run import run_stage, test_stage

    request = replace(_request(chosen), resume=chosen.resume, processes=processes)
    if chosen.test or chosen.test_open:
        folders = [test_stage(request, with_open=False)] if chosen.test else []
        folders += [test_stage(request, with_open=True)] if chosen.test_open else []
    else:
        folders = [run_stage(request).path]
    published = chosen.config.suffix == ".py"
    for folder in folders if processes.first else []:
        if chosen.output_logits:
            target = folder.parent if published and (chosen.test or chosen.test_open) else folder
            export_npz(Predictions.open(folder / "predictions.h5"), target)
        _print(folder, published=published)
    return 0


def _print(folder: Path, *, published: bool) -> None:
    """The report of a run, in the words of the published code too where its config is ``published``."""
    import json

    from oltr.published.summary import published_summary

    print(_table([folder / "report.json"]), end="")
    if published:
        print(published_summary(json.loads((folder / "report.json").read_text(encoding="utf-8"))), end="")
    print(f"report: {folder / 'report.html'}")


def _request(chosen: argparse.Namespace) -> Request:
    """What the options common to `run` and `import` ask for."""
    from oltr.run import Request

    return Request(
        config=chosen.config,
        overrides=tuple(chosen.overrides),
        options=_options(chosen),
        out=chosen.out,
        data_root=chosen.data_root,
        device=chosen.device,
        seed=chosen.seed,
        fresh=chosen.fresh,
        command=_command(chosen),
    )


def _command(chosen: argparse.Namespace, begin: Sequence[str] = ("python", "main.py")) -> str:
    """What to type to get this result again."""
    words = [*begin, "--config", str(chosen.config), *chosen.overrides]
    for option in ("data_root", "out", "seed"):
        value = getattr(chosen, option)
        if value is not None:
            words += [f"--{option.replace('_', '-')}", str(value)]
    words += [word for option, value in _options(chosen).items() for word in (f"--{option}", str(value))]
    return shlex.join(words)


def _options(chosen: argparse.Namespace) -> dict[str, float]:
    """What was given of the options that published Python configs alone take."""
    values = {option: getattr(chosen, option) for option in DEFAULTS}
    return {option: value for option, value in values.items() if value is not None}


def _check(chosen: argparse.Namespace) -> int:
    from oltr import config
    from oltr.rehearsal import rehearse
    from oltr.run import Request, open_stage

    path, overrides = chosen.config, tuple(chosen.overrides)
    while path is not None:
        stage, _ = open_stage(Request(config=path, overrides=overrides, options=_options(chosen), seed=chosen.seed))
        before = config.predecessor(path, stage)
        rehearse(stage, str(path))
        print(f"{path} is valid" + (f"; it starts from {before}" if before else ""))
        path, overrides = before, tuple(config.split_overrides(overrides)[1])
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
    from tqdm import tqdm

    from oltr.results import compare_on_a_page, report_again

    scorers = None if chosen.scorers is None else [name for name in chosen.scorers.split(",") if name]
    for run in tqdm(chosen.runs, desc="runs", leave=False, disable=None):
        report_again(run, scorers)
    print(_table([run / "report.json" for run in chosen.runs]), end="")
    if chosen.html is not None:
        compare_on_a_page(chosen.runs, chosen.html)
        print(f"page: {chosen.html}")
    return 0


def _bench(chosen: argparse.Namespace) -> int:
    from oltr.bench.command import run_suite_command

    return run_suite_command(chosen)


def _import(chosen: argparse.Namespace) -> int:
    from dataclasses import replace

    from oltr.foreign.importing import import_files

    files = [word for word in chosen.files if "=" not in word or Path(word).is_file()]
    chosen.overrides = [word for word in chosen.files if word not in files] + chosen.overrides
    if not files:
        raise UserError("import: no FILE among the arguments: a checkpoint, or logits as .npz")
    request = replace(_request(chosen), command=_command(chosen, ["oltr", "import", *files]))
    _print(import_files(request, [Path(word) for word in files]).path, published=chosen.config.suffix == ".py")
    return 0


def _export(chosen: argparse.Namespace) -> int:
    from oltr.foreign.exporting import export

    print(export(chosen.run, chosen.output, force=chosen.force))
    return 0


def _convert(chosen: argparse.Namespace) -> int:
    from oltr.published.convert import write

    print(write(chosen.old, chosen.output), end="")
    return 0


def _data_check(chosen: argparse.Namespace) -> int:
    from oltr.plain_data import override
    from oltr.plugins import DATASETS

    found = DATASETS.build(chosen.name, override({}, chosen.overrides), root=chosen.data_root).check()
    print("\n".join(found.lines))
    return 0 if found.ok else 2


def _doctor(chosen: argparse.Namespace) -> int:
    from oltr.doctor import examine

    print("\n".join(examine(measure=chosen.measure)))
    return 0


def _config(chosen: argparse.Namespace) -> StageConfig:
    from dataclasses import replace

    from oltr import config

    stage = config.load(chosen.config, chosen.overrides, _options(chosen))
    return stage if chosen.seed is None else replace(stage, seed=chosen.seed)


def _table(paths: Sequence[Path]) -> str:
    import json

    from oltr.report import compare, table

    reports = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    notes = dict.fromkeys(str(report["open_note"]) for report in reports if report["open_note"])
    text = compare(reports) if len(reports) > 1 else table(reports) + "\n"
    return text + "".join(f"{note}\n" for note in notes)


HINTS = {"run": "; --resume goes on from the last epoch that ended", "bench": "; the same command goes on"}
"""What to do after an interruption."""

COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "check": _check,
    "show": _show,
    "plugins": _plugins,
    "report": _report,
    "bench": _bench,
    "import": _import,
    "export": _export,
    "convert": _convert,
    "data check": _data_check,
    "doctor": _doctor,
}
