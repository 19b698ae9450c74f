"""A package of its own, installed beside ours: its parts are listed, checked, trained with, and told of in results."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oltr import testing
from oltr.cli import main

SOURCE = Path(__file__).parent / "third_party"
OVERRIDES = (
    "backbone={name: two_convolutions, width: 6}",
    "losses=[{name: logit_adjusted, tau: {name: linear, start: 0, end: 1}}]",
    "evaluation={scorers: [msp, runner_up], shots: {rule: oltr, many: 16, few: 6}}",
    "epochs=2",
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """What `pip install` of the package makes: its modules, and beside them what it declares."""
    declared = configparser.ConfigParser()
    declared.read(SOURCE / "setup.cfg", encoding="utf-8")
    name, version = declared["metadata"]["name"], declared["metadata"]["version"]
    folder = tmp_path / "site"
    shutil.copytree(SOURCE / "example_parts", folder / "example_parts", ignore=shutil.ignore_patterns("__pycache__"))
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = declared["options.entry_points"].items()
    (info / "entry_points.txt").write_text("\n".join(f"[{group}]{parts}\n" for group, parts in groups))
    return folder


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(site))
    return site


def oltr(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`oltr …` in a process of its own."""
    code = "import sys; from oltr.cli import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True)


def test_its_parts_train_and_evaluate_and_stand_in_the_result(site: Path, configs: Path, tmp_path: Path) -> None:
    config = str(configs / "stage_1.yaml")
    done = oltr(site, "run", "--config", config, *OVERRIDES, "--out", str(tmp_path / "runs"), "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "broken" not in done.stderr
    assert "Tiny_LT/stage_1/seed_0" in done.stdout
    run = tmp_path / "runs" / "Tiny_LT" / "stage_1" / "seed_0"
    report = json.loads((run / "report.json").read_text())
    of_theirs = [part for part in report["provenance"]["parts"] if part["distribution"] == "example-parts"]
    assert [(part["kind"], part["name"], part["version"]) for part in of_theirs] == [
        ("backbone", "two_convolutions", "0.3.1"),
        ("loss", "logit_adjusted", "0.3.1"),
        ("scorer", "runner_up", "0.3.1"),
    ]
    assert "runner_up" in report["open"]
    losses = [json.loads(line)["loss"]["logit_adjusted"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert len(losses) == 2
    # the report is recomputed with the scorer and without the package's network
    again = oltr(site, "report", str(run))
    assert again.returncode == 0, again.stderr
    assert json.loads((run / "report.json").read_text()) == report


def test_its_parts_are_listed_with_its_name_and_version(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "example-parts" in line]
    assert rows == [
        ["backbones", "two_convolutions", "example-parts", "0.3.1", "example_parts.two_convolutions:TwoConvolutions"],
        ["losses", "logit_adjusted", "example-parts", "0.3.1", "example_parts.logit_adjusted:LogitAdjustedLoss"],
        ["losses", "unfinished", "example-parts", "0.3.1", "example_parts.unfinished:UnfinishedLoss"],
        ["scorers", "runner_up", "example-parts", "0.3.1", "example_parts.runner_up:RunnerUp"],
    ]


def test_its_broken_part_is_an_error_only_where_it_is_named(
    installed: Path, configs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check = ["check", "--config", str(configs / "stage_1.yaml")]
    assert main([*check, *OVERRIDES]) == 0
    assert "example_parts.unfinished" not in sys.modules
    capsys.readouterr()
    assert main([*check, "losses.0={name: unfinished}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "losses.0: loss unfinished (example-parts 0.3.1) cannot be imported" in error
    assert "ImportError: libunfinished.so.1: cannot open shared object file" in error


@pytest.mark.parametrize(
    "name", ["example-parts:logit_adjusted", "example_parts.logit_adjusted:LogitAdjustedLoss", "logit_adjusted"]
)
def test_a_part_has_three_names(installed: Path, configs: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    check = ["check", "--config", str(configs / "stage_1.yaml"), f"losses.0={{name: '{name}'}}"]
    assert main(check) == 0
    capsys.readouterr()
    assert main([*check, "losses.0.taw=2"]) == 2
    assert "option 'taw' is unknown; did you mean 'tau'?" in capsys.readouterr().err
    assert main([*check, "losses.0.train_counts=[1]"]) == 2
    assert "option 'train_counts' is given by the run and cannot be set" in capsys.readouterr().err


def test_a_wrong_name_gets_the_nearest_of_that_package(
    installed: Path, configs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--config", str(configs / "stage_1.yaml"), "losses.0.name=example-parts:logit_adjust"]) == 2
    error = capsys.readouterr().err
    assert "package example-parts offers no loss 'logit_adjust'; did you mean 'logit_adjusted'?" in error


def test_its_parts_conform(installed: Path) -> None:
    testing.check_loss("logit_adjusted", options={"tau": {"name": "cyclical", "low": 0, "high": 2}})
    testing.check_backbone("two_convolutions", options={"width": 4})
    testing.check_scorer("runner_up")
