from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oltr.contracts import RunError
from oltr.report import compare, table, write
from oltr.report.cells import cell, rows
from oltr.report.markdown import markdown

Make = Callable[..., dict[str, Any]]


TITLES = {"false_rejection": "known images rejected"}


def numbers(line: str) -> list[str]:
    return re.findall(r"(?<![\w.])(?:\d+\.\d|–)(?![\w.])", line)


def expected_row(report: dict[str, Any]) -> list[str]:
    msp = report["open"]["msp"]
    point = msp["operating_points"]["known_acceptance_0.9"]
    shares = [report["closed"][key] for key in ("accuracy", "many", "medium", "few")]
    shares += [msp["ranking"][key] for key in ("auroc", "fpr_at_95_known", "oscr")]
    shares += [point[key]["overall"] for key in ("f_oltr2020", "f_oltr2019", "f_micro", "f1_macro_k1")]
    shares += [point["false_rejection"]["few"]]
    shares += [msp["far"]["ranking"]["auroc"]] if msp["far"] else []
    return [f"{share * 100:.1f}" for share in shares]


def test_write_makes_every_file_and_removes_stale_pictures(make_report: Make, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    report = make_report()
    written = write(report, folder, [{"epoch": 0, "loss": {"total": 1.0}, "lr": {}, "val": {"accuracy": 0.5}}])
    assert sorted(folder.iterdir()) == sorted(written)
    assert len(written) == 9
    assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == report
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((\S+\.png)\)", text)) == {path.name for path in written if path.suffix == ".png"}
    write(make_report(unknown=False), folder)
    left = {path.name for path in folder.iterdir()}
    assert left == {"report.json", "report.md", "report.html", "accuracy_by_class.png", "confusion.png"}


def test_writing_a_number_that_json_lacks_fails_before_any_file(make_report: Make, tmp_path: Path) -> None:
    report = make_report(loss=float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(report, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_full_disk_leaves_the_report_before(
    make_report: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    write(make_report(), folder)
    before = (folder / "report.json").read_bytes()

    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunError, match="no space left"):
        write(make_report(seed=1), folder)
    assert (folder / "report.json").read_bytes() == before


def test_markdown_tells_the_numbers_the_command_and_why_a_scorer_was_skipped(make_report: Make) -> None:
    report = make_report(command="python main.py --config a.yaml", names=["a|b", "<b>", "c", "d", "e", "f"])
    text = markdown(report)
    assert expected_row(report) in [numbers(line) for line in text.splitlines()]
    assert "```sh\npython main.py --config a.yaml\n```" in text
    assert "- prototypes: it needs class centroids" in text
    assert text.count("<details>") == text.count("</details>") == 4  # norm's points, classes, provenance
    point = report["open"]["msp"]["operating_points"]["fixed_0.3"]
    for name in ("false_rejection", "f_micro", "f1_unknown"):
        shown = [f"{value * 100:.1f}" for value in point[name].values()]
        assert shown in [
            numbers(line) for line in text.splitlines() if line.startswith(f"| {TITLES.get(name, cell(name))} ")
        ]
    first = next(line for line in text.splitlines() if line.startswith(r"| a\|b |"))
    row = report["classes"][0]
    assert f"| {row['train_images']} | many | 8 | {row['accuracy'] * 100:.1f} |" in first
    assert "<b>" not in text


def test_markdown_without_an_open_set_says_why(make_report: Make) -> None:
    report = make_report(unknown=False)
    assert report["open_note"] in markdown(report)
    assert "AUROC" not in markdown(report)


def test_table_has_a_row_a_run(make_report: Make) -> None:
    reports = [make_report(), make_report(seed=1), make_report(unknown=False)]
    lines = table(reports).splitlines()
    assert [numbers(line) for line in lines[2:4]] == [expected_row(report) for report in reports[:2]]
    assert numbers(lines[4])[4:] == ["–"] * 8
    assert "msp; F at: 90 % of the known validation images accepted" in lines[5]
    assert "AUROC" not in table(reports[2:])
    assert table([]) == compare([]) == ""


def test_far_columns_where_a_run_has_a_far_open_set(make_report: Make) -> None:
    near, far = make_report(), make_report(far=True, seed=1)
    text = markdown(far)
    assert "AUROC far" in table([far])
    assert numbers(table([far]).splitlines()[2]) == expected_row(far)
    assert "AUROC far" not in table([near])
    lines = table([near, far]).splitlines()
    assert numbers(lines[2]) == [*expected_row(near), "–"]
    entry = far["open"]["norm"]["far"]
    shown = [f"{value * 100:.1f}" for value in entry["ranking"].values()]
    assert "The same against the far open set" in text
    assert shown in [numbers(line) for line in text.splitlines() if line.startswith("| norm ")]
    share = far["open"]["msp"]["operating_points"]["per_class"]["far_open_accuracy"]
    assert f"far open images rejected {share * 100:.1f}" in text
    assert "far open" not in markdown(near)


def test_markdown_has_groups_against_the_open_set_and_calibration(make_report: Make) -> None:
    report = make_report()
    lines = markdown(report).splitlines()
    groups = report["open"]["norm"]["groups"]
    shown = [f"{groups[key][shot] * 100:.1f}" for key in groups for shot in ("many", "medium", "few")]
    assert shown in [numbers(line) for line in lines if line.startswith("| norm ")]
    measured = report["calibration"]
    assert [f"{value * 100:.1f}" for value in measured["ece"].values()] in [
        numbers(line) for line in lines if line.startswith("| ECE ")
    ]
    decimals = " | ".join(f"{value:.3f}" for value in measured["nll"].values())
    assert f"| negative log-likelihood (nats) | {decimals} |" in lines


def test_thresholds_by_class_and_those_not_set_are_told(make_report: Make) -> None:
    report = make_report()
    report["thresholds_skipped"] = {"open_val": "no open validation set"}
    text = markdown(report)
    classes = report["open"]["msp"]["operating_points"]["per_class"]["class_thresholds"]
    assert f"a threshold for each class, {min(classes):.4g} to {max(classes):.4g}" in text
    assert r"- threshold open\_val: no open validation set" in text


def test_a_run_selected_on_test_data_is_refused_by_leaderboards(make_report: Make) -> None:
    good = make_report()
    bad = make_report(seed=1, test_selected=True, test_selected_because=["epochs were chosen on the test set."])
    for text in (table([bad, good]), compare([good, bad])):
        assert "refused: Set/stage" in text
        assert "epochs were chosen on the test set." in text
    assert numbers(table([bad, good]).splitlines()[2]) == expected_row(good)
    assert compare([good, bad]).splitlines()[2].startswith(r"| Set/stage\_1/seed\_0 | 0 |")
    assert table([bad]) == "refused: Set/stage_1/seed_1: epochs were chosen on the test set."
    assert compare([bad]) == table([bad]) + "\n"
    assert "**Selected on test data:** epochs were chosen on the test set." in markdown(bad)
    assert "test data" not in markdown(good)


def test_compare_gives_the_mean_and_deviation_over_seeds(make_report: Make) -> None:
    seeds = [make_report(seed=seed) for seed in (0, 1, 2)]
    other = make_report(seed=4, name="Set/stage_2/seed_4", config={"epochs": 9, "seed": 4})
    lines = compare([seeds[0], other, *seeds[1:]]).splitlines()
    mean, single = lines[2].split(" | "), lines[3].split(" | ")
    assert mean[:2] == [r"| Set/stage\_1", "0, 1, 2"]
    for place, key in ((2, "accuracy"), (5, "few")):
        values = [report["closed"][key] * 100 for report in seeds]
        assert mean[place] == f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"
    assert single[:2] == [r"| Set/stage\_2/seed\_4", "4"]
    assert numbers(lines[3]) == expected_row(other)


def test_runs_that_differ_in_more_than_the_seed_stay_apart(make_report: Make) -> None:
    reports = [
        make_report(),
        make_report(seed=1, config={"epochs": 4, "seed": 1}),
        make_report(seed=2, name="Other/stage_1/seed_2"),
        make_report(seed=3, classes=7),
    ]
    assert len(compare(reports).splitlines()) == 2 + 4 + 4  # the notes follow
    del reports[0]["run"]["config"], reports[1]["run"]["config"]
    assert "±" not in compare(reports[:2])


def test_nothing_in_a_cell_is_markup() -> None:
    assert cell("a|b\n*c* <i> & `d` [e]") == r"a\|b \*c\* &lt;i> &amp; \`d\` \[e\]"
    assert rows(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |"
