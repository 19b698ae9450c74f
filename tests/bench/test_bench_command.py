"""`oltr bench` as users meet it, on a suite that trains in seconds."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from oltr.bench.jobs import START
from oltr.cli import main

SUITE = Path("suites/tiny.yaml")
BENCH = ("bench", str(SUITE), "--device", "cpu")
OUT = Path("runs/tiny")
LAST = OUT / "Tiny_LT/stage_2/seed_0"


def results() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (OUT / "results.jsonl").read_text(encoding="utf-8").splitlines()]


def stamps() -> dict[Path, int]:
    """When each run's weights and report were written."""
    return {path: path.stat().st_mtime_ns for path in OUT.rglob("seed_*/*") if path.name in ("best.pt", "report.json")}


def test_a_suite_survives_a_failure_and_goes_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One run cannot be written; the next call runs that one and those that are new, and touches no other."""
    LAST.parent.mkdir(parents=True)
    LAST.write_text("in the way")
    assert main([*BENCH, "--seeds", "0"]) == 1
    first = capsys.readouterr()
    said = f"failed: --out: {LAST} is a file, so no run can be written below it"
    assert f"OLTR, seed 0 {said} ({OUT}/logs/oltr_seed_0.log)" in first.err
    assert "- failed: OLTR, seed 0: --out: " in first.out
    rows = results()
    assert [(row["method"], row["scorer"], row["failed"]) for row in rows] == [
        ("plain", "msp", None),
        ("plain", "energy", None),
        ("OLTR", None, said.removeprefix("failed: ")),
    ]

    LAST.unlink()
    before = stamps()
    written = ["--markdown", "page.md", "--latex", "page.tex", "--html", "page.html"]
    assert main([*BENCH, "--jobs", "2", *written]) == 0
    again = capsys.readouterr().out
    after = stamps()
    assert {path: after[path] for path in before} == before
    assert {str(path.parent.relative_to(OUT / "Tiny_LT")) for path in after.keys() - before.keys()} == {
        "stage_1/seed_1",
        "stage_2/seed_0",
        "stage_2/seed_1",
    }
    rows = results()
    assert len(rows) == 8
    for row in rows:
        report = json.loads((Path(row["run"]) / "report.json").read_text())
        assert row["accuracy"] == report["closed"]["accuracy"]
        assert row["auroc"] == report["open"][row["scorer"]]["ranking"]["auroc"]
        assert row["operating_point"] == "known_acceptance_0.9"
    assert {row["method"]: row["images_seen"] for row in rows} == {"plain": 64, "OLTR": 128}
    assert "not comparable: 'OLTR' has seen 2 times the images of 'plain'" in again
    assert again.splitlines()[0].startswith("| method | all |")
    assert "failed" not in again
    assert "## Against the baseline" in Path("page.md").read_text()
    assert Path("page.tex").read_text().count(r"\begin{table}") >= 2
    assert "Tiny-LT" in Path("page.html").read_text()
    assert (OUT / "methods.svg").is_file()
    assert Path("page_methods.svg").read_bytes() == (OUT / "methods.svg").read_bytes()

    assert main([*BENCH, "--dry-run"]) == 0
    assert [line[:7] for line in capsys.readouterr().out.splitlines()] == ["done   "] * 4
    assert stamps() == after


def test_an_interrupt_stops_the_runs_and_says_so(place: Path) -> None:
    """As Ctrl-C does: the exit code is 130, and nothing runs on."""
    command = [sys.executable, "-c", START, *BENCH]
    SUITE.write_text(SUITE.read_text().replace("seeds:", "overrides: [epochs=100000]\nseeds:"))
    log = OUT / "Tiny_LT/stage_1/seed_0/log.jsonl"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(1200):
            if log.is_file() or process.poll() is not None:
                break
            time.sleep(0.05)
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in told
    assert "Traceback" not in told
    size = log.stat().st_size
    time.sleep(0.5)
    assert log.stat().st_size == size
    assert not (OUT / "results.jsonl").exists()


def test_a_dry_run_lists_what_there_is_to_do(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(SUITE), "--dry-run", "--seeds", "7", "--out", "elsewhere"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "to run   plain, seed 7  elsewhere/Tiny_LT/stage_1/seed_7",
        "to run   OLTR, seed 7  elsewhere/Tiny_LT/stage_2/seed_7",
    ]
    assert not Path("elsewhere").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[msp, energy]", "[msp, enrgy]", "no scorer 'enrgy'; did you mean 'energy'?"),
        ("rate: 0.9", "rte: 0.9", "option 'rte' is unknown; did you mean 'rate'?"),
        ("seeds:", "overrides: [epoch=1]\nseeds:", "unknown key 'epoch'; did you mean 'epochs'?"),
    ],
)
def test_a_mistake_shows_before_anything_runs(
    place: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    text = SUITE.read_text()
    assert old in text
    SUITE.write_text(text.replace(old, new, 1))
    assert main(["bench", str(SUITE)]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not OUT.exists()


def test_the_shipped_suite_is_planned_and_right(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    assert main(["bench", "config/suites/glyphs.yaml", "--dry-run", "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 15
    assert sum("/stage_2" in line for line in lines[-6:]) == 6  # what starts from another run begins last


def test_asking_for_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom oltr.cli import main\n"
        "try: main(['bench', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
