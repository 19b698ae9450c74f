"""Jobs side by side: what may run together, what is told of one that failed, and what is stopped."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from oltr.bench import jobs as module
from oltr.bench.jobs import Command, ended_by_signal, execute, last_line, threads
from oltr.bench.plan import Job, plan
from oltr.bench.suite import load_suite


class Fake:
    """A runner whose jobs end after so many looks at them; it writes down who ran beside whom."""

    def __init__(self, looks: int = 2, failing: Sequence[str] = ()) -> None:
        self.looks, self.failing = looks, failing
        self.running: dict[str, Job] = {}
        self.order: list[str] = []
        self.stopped: list[str] = []
        self.together: list[frozenset[str]] = []

    def start(self, job: Job) -> FakeProcess:
        self.running[job.name] = job
        self.order.append(job.name)
        self.together.append(frozenset(self.running))
        return FakeProcess(self, job)


class FakeProcess:
    def __init__(self, runner: Fake, job: Job) -> None:
        self.runner, self.job, self.left = runner, job, runner.looks

    def ended(self) -> str | None:
        self.left -= 1
        if self.left > 0:
            return None
        del self.runner.running[self.job.name]
        return "it broke" if self.job.name in self.runner.failing else ""

    def stop(self) -> None:
        self.runner.stopped.append(self.job.name)


@pytest.fixture
def four(place: Path) -> list[Job]:
    """plain and OLTR, which starts from it, with seeds 0 and 1."""
    return plan(load_suite(Path("suites/tiny.yaml")), Path("out"))


def test_every_job_runs_once_and_in_order(four: list[Job]) -> None:
    runner = Fake()
    outcomes = list(execute(four, runner.start, at_once=1, pause=0))
    assert [outcome.job for outcome in outcomes] == four
    assert [outcome.failure for outcome in outcomes] == [""] * 4
    assert runner.order == [job.name for job in four]
    assert all(len(beside) == 1 for beside in runner.together)


@pytest.mark.parametrize("at_once", [2, 3, 9])
def test_a_run_never_shares_an_unfinished_folder(four: list[Job], at_once: int) -> None:
    runner = Fake()
    list(execute(four, runner.start, at_once=at_once, pause=0))
    assert sorted(runner.order) == sorted(job.name for job in four)
    for seed in (0, 1):
        assert all(not {f"plain, seed {seed}", f"OLTR, seed {seed}"} <= beside for beside in runner.together)
    assert max(map(len, runner.together)) == 2  # both seeds


def test_without_the_first_stage_s_own_job_one_of_two_makes_it(four: list[Job]) -> None:
    """Two methods that start from one stage wait for each other, and are side by side once it is there."""
    first, twin = four[2], four[2]
    twin = Job(**{**vars(first), "method": "twin", "chain": (first.chain[0], four[3].chain[1])})
    runner = Fake()
    list(execute([first, twin], runner.start, at_once=2, pause=0))
    assert runner.together == [{"OLTR, seed 0"}, {"twin, seed 0"}]
    runner = Fake()
    list(execute([first, twin], runner.start, at_once=2, pause=0, finished=[four[0]]))
    assert runner.together[-1] == {"OLTR, seed 0", "twin, seed 0"}


def test_one_that_fails_stops_no_other(four: list[Job]) -> None:
    runner = Fake(failing=["plain, seed 0"])
    outcomes = {outcome.job.name: outcome.failure for outcome in execute(four, runner.start, at_once=2, pause=0)}
    assert outcomes == {"plain, seed 0": "it broke", "plain, seed 1": "", "OLTR, seed 0": "", "OLTR, seed 1": ""}


def test_what_still_runs_is_stopped(four: list[Job]) -> None:
    runner = Fake(looks=10**9)
    runner_of_one = Fake(looks=1)

    def start(job: Job) -> FakeProcess:
        return (runner_of_one if job is four[0] else runner).start(job)

    outcomes = execute(four, start, at_once=3, pause=0)
    assert next(outcomes).job is four[0]
    outcomes.close()
    assert runner.stopped == ["plain, seed 1"]
    assert runner_of_one.stopped == []


def test_an_interrupt_stops_what_runs(four: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.time, "sleep", interrupt)
    runner = Fake(looks=10**9)
    with pytest.raises(KeyboardInterrupt):
        list(execute(four, runner.start, at_once=2))
    assert sorted(runner.stopped) == ["plain, seed 0", "plain, seed 1"]


def wait(command: Command) -> str:
    for _ in range(600):
        found = command.ended()
        if found is not None:
            return found
        time.sleep(0.05)
    raise AssertionError("it does not end")


def test_a_command_tells_the_last_line_of_what_went_wrong(place: Path) -> None:
    command = Command(["show", "--config", "Tiny_LT/stage_9.yaml"], Path("logs/one.log"), {})
    assert "Tiny_LT/stage_9.yaml: no such config; did you mean" in wait(command)
    assert "\n" not in wait(command)
    assert Path("logs/one.log").read_text().startswith("oltr: ")


def test_a_command_that_does_well_leaves_what_it_said(place: Path) -> None:
    assert wait(Command(["show", "--config", "Tiny_LT/stage_1.yaml"], Path("two.log"), {})) == ""
    assert "stage:" in Path("two.log").read_text()


def test_a_command_that_is_stopped_ends(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START", "import time; time.sleep(60)")
    command = Command([], Path("log"), {})
    assert command.ended() is None
    command.stop()
    assert command.ended() == "it ended with signal 15 and said nothing"
    command.stop()


def test_the_environment_of_a_command_is_added_to_ours(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START", "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['MINE'])")
    monkeypatch.setenv("MINE", "too")
    assert wait(Command([], Path("log"), {"OMP_NUM_THREADS": "7"})) == ""
    assert Path("log").read_text().split() == ["7", "too"]


def test_the_last_line_is_that_which_a_progress_bar_leaves(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes("1 %\r50 %\r\nTraceback\nValueError: no \xff\n \n".encode("latin-1"))
    assert last_line(log) == "ValueError: no �"
    log.write_text("a\roltr: the config is wrong\r")
    assert last_line(log) == "the config is wrong"
    log.write_text("")
    assert last_line(log) == ""


def test_cores_are_shared_among_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(module, "usable_cores", lambda: 8)
    assert [threads(jobs)["OMP_NUM_THREADS"] for jobs in (1, 2, 3, 16)] == ["8", "4", "2", "1"]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert threads(2) == {}


def test_sigterm_unwinds() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end, ended_by_signal():
        signal.raise_signal(signal.SIGTERM)
    assert end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
