"""Every row of the benchmarks compares equal things, and what is written is what was timed."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import running, suites
from benchmarks.measure import OtherLoad, Spread, measure, ratios
from benchmarks.memory import measured, peak_bytes
from benchmarks.rows import Case, DisagreementError, Row, check, differs
from benchmarks.running import Settings, run
from benchmarks.table import markdown, write

ROWS = suites.CPU
TINY = Settings(rounds=2, memory=False, tiny=True, sample_seconds=0)
PLAIN = Row(
    name="plain",
    what="{count} numbers",
    twin="the same",
    make=lambda folder, count: Case(ours=lambda: list(range(count)), twin=lambda: list(range(count))),
    full={"count": 3},
    tiny={"count": 2},
    per="count",
)


def wrong(folder: Path, count: int) -> Case:
    return Case(ours=lambda: [1.0] * count, twin=lambda: [1.0] * (count - 1) + [1.5])


def silent(line: str) -> None:
    pass


def changed(facts: Any) -> Iterator[Any]:
    """The facts with one value changed, for each value in turn; of an array one entry."""
    if isinstance(facts, dict):
        for key, value in facts.items():
            yield from ({**facts, key: other} for other in changed(value))
    elif isinstance(facts, list):
        for place, value in enumerate(facts):
            yield from ([*facts[:place], other, *facts[place + 1 :]] for other in changed(value))
    elif isinstance(facts, (np.ndarray, torch.Tensor)):
        assert facts.shape == () or len(facts), "an empty array compares nothing"
        other = np.array(np.asarray(facts), order="C")
        other.reshape(-1)[-1] += 1
        yield other
    else:
        yield facts + "?" if isinstance(facts, str) else facts + 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_ours_and_the_twin_agree_and_a_difference_would_be_seen(row: Row, tmp_path: Path) -> None:
    case = row.case(tmp_path, tiny=True)
    ours, facts = case.facts(case.ours()), case.facts(case.twin())
    assert differs(ours, facts, case.tolerance) is None
    others = list(itertools.islice(changed(facts), 200))
    assert others
    assert not [other for other in others if differs(other, facts, case.tolerance) is None]
    assert (case.yardstick is None) == (row.yardstick is None)
    assert row.per is None or row.per in row.full


def test_a_row_whose_results_differ_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DisagreementError, match=r"wrong: ours and the twin differ \[2\]: by 0.5"):
        check("wrong", wrong(tmp_path, 3))


@pytest.mark.parametrize(
    ("ours", "twin", "same"),
    [
        (1.0, 1.0 + 1e-7, True),
        (1.0, 1.0 + 1e-5, False),
        (float("nan"), 1.0, False),
        (None, 0.0, False),
        (1, 2, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1, 2], [1], False),
        (np.zeros(2), np.zeros(3), False),
        (np.array([100.0, 0.0]), np.array([100.0, 1e-5]), True),
        (np.array([0.0]), np.array([1e-9]), False),
    ],
)
def test_results_are_compared_to_a_share_of_the_largest_value(ours: Any, twin: Any, same: bool) -> None:
    assert (differs(ours, twin, 1e-6) is None) == same


def test_contenders_take_turns_and_short_ones_are_called_more_often() -> None:
    now, order = [0.0], []

    def contender(name: str, seconds: float) -> Any:
        def call() -> None:
            now[0] += seconds if order[-1:] == [name] else 1.5 * seconds  # the caches are another's
            order.append(name)

        return call

    contenders = {"ours": contender("o", 0.5), "twin": contender("t", 2.0)}
    times = measure(contenders, rounds=3, sample_seconds=1.0, clock=lambda: now[0])
    assert times == {"ours": [0.5] * 3, "twin": [3.0, 2.0, 3.0]}, "what is short is called before it is measured"
    assert "".join(order) == "ot" + "oot" + "too" + "oot"
    order.clear()
    slow = {"ours": contender("o", 1.0), "twin": contender("t", 100.0)}
    measure(slow, rounds=9, sample_seconds=1.0, clock=lambda: now[0])
    assert "".join(order) == "ot" + "ot" + "to" + "ot"


def test_ratios_are_taken_round_by_round() -> None:
    times = {"ours": [1.0, 2.0, 4.0], "twin": [3.0, 8.0, 8.0]}
    assert ratios(times, "twin") == Spread(median=3.0, low=2.0, high=4.0)


def test_other_load_leaves_out_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([(0.0, 100.0, 7.0), (10.0, 115.0, 12.0), (10.0, None, 12.0)])
    monkeypatch.setattr(OtherLoad, "_now", staticmethod(lambda: next(moments)))
    load = OtherLoad()
    assert load.cores() == 1.0
    assert load.cores() is None


def test_every_row_is_timed_and_written(tmp_path: Path) -> None:
    told: list[str] = []
    results = run("cpu", ROWS, replace(TINY, rounds=1), told.append)
    paths = write(results, tmp_path)
    stored, text = json.loads(paths[0].read_text()), paths[1].read_text()
    assert [path.name for path in paths] == ["cpu.json", "cpu.md"]
    assert stored == results
    assert [row["name"] for row in stored["rows"]] == [row.name for row in ROWS]
    assert len(told) == len(set(told)) == len(ROWS)
    assert stored["hardware"]["cpu"] in text
    assert torch.__version__ in text
    for row in stored["rows"]:
        seconds, ratio = row["seconds"], row["times_ours"]["twin"]
        assert all(spread["low"] <= spread["median"] <= spread["high"] for spread in seconds.values())
        assert seconds["twin"]["low"] / seconds["ours"]["high"] <= ratio["low"] <= ratio["high"]
        assert ratio["high"] <= seconds["twin"]["high"] / seconds["ours"]["low"]
        assert text.count(f"| {row['name']} |") == 1
        assert any(f"**{ratio['median']:{form}}** (" in text for form in (".3g", ",.0f"))
        assert f"**{row['name']}**: {row['what']}" in text
        assert "{" not in row["what"]


def test_a_rate_is_of_what_the_row_counts() -> None:
    (row,) = run("cpu", [PLAIN], TINY, silent)["rows"]
    assert row["per_second"] == 2 / row["seconds"]["ours"]["median"]
    assert row["what"] == "2 numbers"


def test_a_twin_that_does_not_fit_is_left_out_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "available_bytes", lambda: 10**9)
    large = replace(PLAIN, make=lambda folder, count: replace(wrong(folder, count), twin_bytes=7 * 10**9))
    results = run("cpu", [large], TINY, silent)
    assert list(results["rows"][0]["seconds"]) == ["ours"]
    assert results["rows"][0]["times_ours"] == {}
    assert "it takes up to 7.0 GB" in markdown(results)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_memory_is_what_a_call_takes_at_its_peak() -> None:
    size = 64 << 20
    held = torch.ones(size, dtype=torch.uint8)
    case = Case(ours=lambda: torch.zeros(2 * size, dtype=torch.uint8).add_(1).max(), twin=lambda: held[0])
    ours, twin = measured(case, "ours"), measured(case, "twin")
    assert ours is not None
    assert twin is not None
    assert 1.9 * size < ours < 3 * size
    assert twin < size / 8


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_memory_is_taken_in_a_process_of_its_own() -> None:
    row = suites.row_named("cyclical_focal_1024x1000", suites.CPU)
    peak = peak_bytes(row, "ours", threads=1)
    gradient = 1024 * 1000 * 4
    assert peak is not None
    assert gradient <= peak < 20 * gradient


def test_the_command_writes_only_whole_suites_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heavy = replace(PLAIN, name="heavy", heavy=True)
    monkeypatch.setattr(suites, "CPU", (PLAIN, heavy))
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    assert command.main(["--quick", "--rounds", "1"]) == 0
    printed = capsys.readouterr().out
    assert "| plain |" in printed
    assert "heavy" not in printed
    assert command.main(["--rows", "heavy", "--rounds", "1"]) == 0
    assert "| heavy |" in capsys.readouterr().out
    assert not (tmp_path / "results").exists()
    assert command.main(["--rows", "plain", "--rounds", "1", "--out", str(tmp_path / "mine")]) == 0
    assert command.main(["--rounds", "1"]) == 0
    assert (tmp_path / "mine" / "cpu.md").read_text().count("| plain |") == 1
    stored = json.loads((tmp_path / "results" / "cpu.json").read_text())
    assert [row["name"] for row in stored["rows"]] == ["plain", "heavy"]
    assert {row["rounds"] for row in stored["rows"]} == {1}


def test_errors_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--rows", "rankings"]) == 2
    assert capsys.readouterr().err == "benchmarks: no row is called 'rankings'; did you mean ranking?\n"
    monkeypatch.setattr(suites, "CPU", (replace(PLAIN, name="wrong", make=wrong),))
    assert command.main(["--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("benchmarks: wrong: ours and the twin differ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--suite", "gpu", "--device", "gpu0"], "--device: 'gpu0' is none of cpu, cuda, cuda:N, auto"),
        (["--suite", "gpu", "--device", "cuda:99"], "--device: "),
        (["--rows", "help", "--tiny", "--out", "FILE/here"], "FILE"),
    ],
)
def test_what_is_asked_for_wrongly_is_one_line(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    assert command.main([word.replace("FILE", str(file)) for word in words]) == 2
    out, error = capsys.readouterr()
    assert error.startswith(f"benchmarks: {told.replace('FILE', str(file))}")
    assert (out, error.count("\n")) == ("", 1)


def test_a_count_is_a_whole_number(capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("x", "0", "1.5"):
        with pytest.raises(SystemExit):
            command.main(["--rounds", word])
        assert f"a whole number from 1 on, not '{word}'" in capsys.readouterr().err
