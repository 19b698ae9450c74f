"""`oltr bench SUITE.yaml`: run what is not done, then write what all of it comes to."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from oltr.atomic import write_bytes
from oltr.bench import budget, comparison
from oltr.bench.critical_difference import diagram
from oltr.bench.jobs import Command, ended_by_signal, execute, threads
from oltr.bench.page import overview, page
from oltr.bench.plan import Job, check, is_done, plan
from oltr.bench.results import Row, failed_row, ranked, rows_of, write_rows
from oltr.bench.suite import Suite, load_suite, restricted
from oltr.bench.tables import by_scorer, leaderboard
from oltr.bench.typeset import latex
from oltr.evaluation import SCHEMA
from oltr.folder import RUNS
from oltr.report.html import page as html_page

log = logging.getLogger("oltr")

RESULTS = "results.jsonl"
REPORT = "report.html"


def run_suite_command(chosen: argparse.Namespace) -> int:
    """The exit code: 1 where a run failed; everything else is done and written all the same."""
    suite = restricted(load_suite(chosen.suite), seeds=chosen.seeds, only=chosen.only)
    out = chosen.out or RUNS / suite.path.stem
    jobs = plan(suite, out)
    check(jobs)
    if chosen.dry_run:
        sys.stdout.write("".join(f"{_standing(job)}  {job.name}  {job.folder.path}\n" for job in jobs))
        return 0
    failures = run_jobs(jobs, at_once=chosen.jobs, data_root=chosen.data_root, device=chosen.device)
    rows, reports = collect(suite, jobs, failures)
    written = write(suite, rows, reports, out, markdown=chosen.markdown, tex=chosen.latex, html=chosen.html)
    sys.stdout.write(overview(suite, rows) + "\n\n")
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return 1 if any(row["failed"] is not None for row in rows) else 0


def run_jobs(jobs: Sequence[Job], *, at_once: int, data_root: Path | None, device: str) -> dict[Job, str]:
    """Run those that are not done, each in a process of its own; why those failed that did."""
    done = [job for job in jobs if is_done(job, SCHEMA)]
    environment = threads(at_once)

    def start(job: Job) -> Command:
        return Command(job.words(data_root, device), job.log, environment)

    log.info("%d runs, %d of them done", len(jobs), len(done))
    failures: dict[Job, str] = {}
    todo = [job for job in jobs if job not in done]
    with (
        ended_by_signal(),
        closing(execute(todo, start, at_once=at_once, finished=done)) as outcomes,
        tqdm(total=len(jobs), initial=len(done), desc="runs", unit="run", file=sys.stderr, disable=None) as bar,
    ):
        for job, failure in outcomes:
            bar.update()
            if failure:
                failures[job] = failure
                log.error("%s failed: %s (%s)", job.name, failure, job.log)
    return failures


def collect(
    suite: Suite, jobs: Sequence[Job], failures: Mapping[Job, str]
) -> tuple[list[Row], list[tuple[Job, Mapping[str, Any]]]]:
    """The rows of all runs in the suite's order, and the reports that they were read from."""
    order = [method.name for method in suite.methods]
    rows: list[Row] = []
    reports = []
    for job in sorted(jobs, key=lambda job: (order.index(job.method), job.seed)):
        if job in failures:
            rows.append(failed_row(suite.name, job, failures[job]))
            continue
        try:
            report = json.loads(job.folder.report.read_text(encoding="utf-8"))
            if report["schema"] != SCHEMA:
                raise ValueError(f"schema {report['schema']}, not {SCHEMA}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            rows.append(failed_row(suite.name, job, f"{job.folder.report} cannot be read: {error}"))
            continue
        rows += rows_of(suite.name, job, report)
        reports.append((job, report))
    return rows, reports


def write(
    suite: Suite,
    rows: Sequence[Row],
    reports: Sequence[tuple[Job, Mapping[str, Any]]],
    out: Path,
    *,
    markdown: Path | None,
    tex: Path | None,
    html: Path | None,
) -> list[Path]:
    """The files of a suite: results, report and diagrams below ``out``, tables where they are asked for."""
    write_rows(rows, out / RESULTS)
    written = [out / RESULTS]
    taken = ranked(rows)
    content: dict[Path, str] = {}
    if reports:
        content[html or out / REPORT] = _html(suite, rows, reports)
    content |= {out / f"{what}.svg": text for what, text in _diagrams(taken).items()}
    if markdown is not None:
        beside = {what: f"{markdown.stem}_{what}.svg" for what in _diagrams(taken)}
        content |= {markdown.with_name(beside[what]): text for what, text in _diagrams(taken).items()}
        content[markdown] = page(suite, rows, beside, _made(suite, reports))
    if tex is not None and taken:
        content[tex] = latex([leaderboard(taken), *by_scorer(taken)])
    for path, text in content.items():
        write_bytes(path, text.encode("utf-8"))
    return [*written, *content]


def _diagrams(rows: Sequence[Row]) -> dict[str, str]:
    """Critical-difference diagrams, as SVG, of what can be ranked."""
    found = {"methods": comparison.methods_ranked(rows), "scorers": comparison.scorers_ranked(rows)}
    return {
        what: diagram(result.ranks, f"{what.capitalize()} by {result.measure.title}: mean rank over runs")
        for what, result in found.items()
        if result is not None
    }


def _made(suite: Suite, reports: Sequence[tuple[Job, Mapping[str, Any]]]) -> list[str]:
    """By which command, on what and with what the runs were made: a line for each combination that there is."""
    found: dict[str, list[str]] = {}
    for job, report in reports:
        facts = report["provenance"]
        machine, commit = facts.get("hardware") or {}, facts.get("git_commit")
        told = [
            ", ".join([machine.get("cpu", "an unknown machine"), *machine.get("gpus", ())]),
            f"threads {machine.get('threads', 'unknown')}",
            f"torch {(facts.get('packages') or {}).get('torch', 'unknown')}",
            f"oltr {facts.get('oltr', 'unknown')}{f' at {commit[:10]}' if commit else ''}",
        ]
        found.setdefault(", ".join(told), []).append(job.name)
    lines = [line if len(found) == 1 else f"{line}: {'; '.join(names)}" for line, names in found.items()]
    return [f"Command: oltr bench {suite.path}", *lines]


def _html(suite: Suite, rows: Sequence[Row], reports: Sequence[tuple[Job, Mapping[str, Any]]]) -> str:
    """One page of all runs, each under its method's name."""
    named = [{**report, "run": {**report["run"], "name": f"{job.method}/seed_{job.seed}"}} for job, report in reports]
    failed = [f"failed: {row['method']}, seed {row['seed']}: {row['failed']}" for row in rows if row["failed"]]
    return html_page(
        named,
        [job.folder.history() for job, _ in reports],
        title=suite.name,
        warnings=[*budget.warnings(ranked(rows), suite.baseline), *failed],
    )


def _standing(job: Job) -> str:
    if is_done(job, SCHEMA):
        return "done   "
    return "goes on" if job.folder.kept else "to run "
