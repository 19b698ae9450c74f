"""Jobs run side by side, each a process of its own, never two at once that write to one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol

from oltr.bench.plan import Job
from oltr.cores import usable_cores

START = "import sys; from oltr.cli import main; sys.exit(main())"
PATIENCE = 10.0
"""Seconds that a stopped process has to end before it is killed."""


class Process(Protocol):
    """A job under way."""

    def ended(self) -> str | None:
        """None while it runs; then why it failed, or nothing where it did not."""
        ...

    def stop(self) -> None:
        """End it now, if it has not ended; its run can go on from the last epoch that did."""
        ...


class Outcome(NamedTuple):
    """A job that has ended."""

    job: Job
    failure: str
    """Empty where it did well."""


def execute(
    jobs: Sequence[Job],
    start: Callable[[Job], Process],
    *,
    at_once: int,
    finished: Sequence[Job] = (),
    pause: float = 0.1,
) -> Generator[Outcome, None, None]:
    """Run the jobs, at most ``at_once`` at a time, and tell of each as it ends; closing this stops what still runs.

    Two jobs that share a folder wait for each other until one of them has made it, or had it made when it was
    ``finished`` before.
    """
    waiting, running = list(jobs), dict[Job, Process]()
    made = {path for job in finished for path in job.paths}
    try:
        while waiting or running:
            for job in list(waiting):
                if len(running) < at_once and not any((job.paths & other.paths) - made for other in running):
                    running[job] = start(job)
                    waiting.remove(job)
            ended = {job: failure for job, process in running.items() if (failure := process.ended()) is not None}
            for job, failure in ended.items():
                del running[job]
                made |= set() if failure else job.paths
                yield Outcome(job, failure)
            if not ended:
                time.sleep(pause)
    finally:
        for process in running.values():
            process.stop()


class Command:
    """`oltr` in a process of its own, which writes to a log file."""

    def __init__(self, words: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-c", START, *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
            )

    def ended(self) -> str | None:
        code = self._process.poll()
        if code is None or code == 0:
            return None if code is None else ""
        return last_line(self.log) or f"it ended with {_told(code)} and said nothing"

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def threads(at_once: int) -> dict[str, str]:
    """The environment that shares the cores among jobs; OMP_NUM_THREADS that the user has set stays."""
    if "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, usable_cores() // at_once))}


def last_line(log: Path) -> str:
    """What a process said last, without the prefix of our command; empty where it said nothing."""
    text = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return lines[-1].removeprefix("oltr: ") if lines else ""


@contextmanager
def ended_by_signal() -> Iterator[None]:
    """Within the block SIGTERM unwinds as an exit does, so that no job outlives this process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, frame: Any) -> NoReturn:
    raise SystemExit(128 + number)


def _told(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
