"""Results as rows: every number from its place in the report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from oltr.bench.plan import Job, plan
from oltr.bench.results import COLUMNS, failed_row, of, ranked, rows_of, scorers_in, write_rows
from oltr.bench.suite import load_suite
from tests.bench.reports import report, row, scored


@pytest.fixture
def job(place: Path) -> Job:
    return plan(load_suite(Path("suites/tiny.yaml")), Path("out"))[3]


def test_a_row_holds_each_number_of_the_report(job: Job) -> None:
    found = rows_of("S", job, report({"msp": scored(0.1)}))[0]
    assert tuple(found) == COLUMNS
    expected: dict[str, Any] = {
        **{"suite": "S", "method": "OLTR", "seed": 1, "scorer": "msp", "failed": None, "skipped": None},
        **{"config": "Tiny_LT/stage_2.yaml", "run": "out/Tiny_LT/stage_2/seed_1", "pretraining": None},
        **{"accuracy": 0.7, "many": 0.9, "medium": 0.6, "few": None, "ece": 0.12, "nll": 1.5},
        **{"auroc": 0.1, "aupr_in": 0.101, "aupr_out": 0.102, "fpr_at_95_known": 0.103, "frr_at_95_open": 0.104},
        **{"oscr": 0.105, "auroc_many": 0.21, "auroc_medium": 0.22, "auroc_few": 0.23},
        **{"fpr_at_95_known_many": 0.31, "frr_at_95_open_few": 0.43},
        **{"auroc_far": 0.6, "fpr_at_95_known_far": 0.603, "oscr_far": 0.605, "auroc_far_few": 0.73},
        **{"operating_point": "first", "threshold": -0.1, "f_oltr2020": 0.15, "f_oltr2019": 0.2, "f_micro": 0.25},
        **{"f1_macro_k1": 0.3, "f1_macro_known": 0.35, "f1_unknown": 0.4},
        **{"false_rejection_known": 0.5, "false_rejection_many": 0.51, "false_rejection_few": 0.53},
        **{"open_accuracy": 0.55, "far_open_accuracy": 0.56, "images_seen": 100, "parameters": 11},
        **{"data": "abc", "test_images": 6, "open_images": 3, "far_images": 2, "seconds": 2.5, "test_selected": False},
    }
    for key, value in expected.items():
        assert found[key] == (pytest.approx(value) if isinstance(value, float) else value), key


def test_there_is_a_row_for_each_scorer_and_one_that_was_skipped_says_why(job: Job) -> None:
    found = rows_of("S", job, report({"knn": {"skipped": "no training features"}, "msp": scored(0.1, far=False)}))
    assert [row["scorer"] for row in found] == ["knn", "msp"]
    assert (found[0]["skipped"], found[0]["auroc"], found[0]["accuracy"]) == ("no training features", None, 0.7)
    assert (found[1]["skipped"], found[1]["auroc_far"]) == (None, None)
    assert scorers_in(found) == ["msp"]


def test_without_an_open_set_the_closed_numbers_stay(job: Job) -> None:
    (found,) = rows_of("S", job, report(None))
    assert (found["scorer"], found["accuracy"], found["auroc"]) == (None, 0.7, None)
    assert found["skipped"] == "There is no open set."


@pytest.mark.parametrize(
    ("before", "seen"),
    [
        (None, 70),
        ({"run": "r", "images_seen": 30}, 100),
        ({"run": "r", "images_seen": None}, None),
        ({"run": "r"}, None),
    ],
)
def test_images_seen_are_those_of_the_whole_chain(job: Job, before: Any, seen: int | None) -> None:
    provenance = {"data": {}, "parameters": 11, "before": before}
    assert rows_of("S", job, report({"msp": scored(0.1)}, provenance=provenance))[0]["images_seen"] == seen


def test_a_leaderboard_takes_no_failed_run_and_none_selected_on_the_test_set(job: Job) -> None:
    run = {"images_seen": 1, "seconds": 1, "test_selected": True, "test_selected_because": ["One.", "Two."]}
    chosen = rows_of("S", job, report({"msp": scored(0.1)}, run=run))[0]
    assert chosen["test_selected_because"] == "One. Two."
    failed = failed_row("S", job, "it broke")
    assert (failed["failed"], failed["method"], failed["accuracy"], failed["test_selected"]) == (
        "it broke",
        "OLTR",
        None,
        False,
    )
    fine = row("plain", 0)
    assert ranked([chosen, failed, fine]) == [fine]


def test_rows_of_a_method_are_one_a_seed() -> None:
    rows = [row("a", 0), row("a", 0, "knn"), row("a", 1), row("b", 0)]
    assert of(rows, "a", "msp") == [rows[0], rows[2]]
    assert of(rows, "a", "knn") == [rows[1]]
    assert of(rows, "a", None) == [rows[0], rows[2]]


def test_lines_are_json_that_reads_back(tmp_path: Path) -> None:
    rows = [row("OLTR – „x“", 0, auroc=0.5), row("b", 1, None)]
    write_rows(rows, tmp_path / "deep" / "results.jsonl")
    lines = (tmp_path / "deep" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == rows


def test_every_column_is_described() -> None:
    page = (Path(__file__).parents[2] / "docs/bench.md").read_text(encoding="utf-8")
    table = page.partition("## results.jsonl")[2].partition("\n## ")[0]
    described = re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE)))
    assert described == list(COLUMNS)
