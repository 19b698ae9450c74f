"""Two epochs of both stages on generated images: what our runner computes beside what the published code computed.

tests/golden/two_stages.json says how its numbers were made; `python -m benchmarks.parity --help` how to make them anew.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import parity, parity_folder, parity_measured, parity_ours, parity_runs
from benchmarks.parity_measured import TOLERANCES, compare
from benchmarks.parity_recording import NEEDED

GOLDEN = Path(__file__).parent / "golden"
MADE, RECORDS = parity_measured.load(GOLDEN)


def disagreements(ours, theirs, precision):
    return [
        f"{name}, {row.what}: {row.ours} here, {row.theirs} published, {row.allowed:.1e} allowed"
        for name in ours
        for row in compare(ours[name], theirs[name], precision)
        if not row.agrees
    ]


def test_the_inputs_are_those_of_the_record(tmp_path):
    parity_folder.write(tmp_path)
    assert parity_folder.checksum(tmp_path) == MADE["inputs"]


def test_in_float64_the_formulas_are_the_published_ones():
    names = (
        "stage_1",
        "stage_2_cfl_meta_embedding",
    )  # the second goes on from the first; of both losses one stage each
    ours = parity_ours.train("float64", lambda line: None, names)
    assert tuple(ours) == names
    assert not disagreements(ours, RECORDS["float64"], "float64")


def test_in_float32_published_configs_give_the_published_numbers():
    ours = parity_ours.train("float32", lambda line: None)
    assert list(ours) == [run.name for run in parity_runs.RUNS]
    assert not disagreements(ours, RECORDS["float32"], "float32")


def test_the_published_code_agrees_with_itself_in_both_precisions():
    # So the tolerance of float32 is rounding, and no count of the record hangs on it.
    assert not disagreements(RECORDS["float32"], RECORDS["float64"], "float32")
    for name in RECORDS["float64"]:
        assert RECORDS["float32"][name].best_epoch == RECORDS["float64"][name].best_epoch


@pytest.mark.parametrize("precision", TOLERANCES)
def test_whatever_is_other_than_recorded_is_found(precision):
    theirs = RECORDS[precision]["stage_2_meta_embedding"]
    moved = 1 + 3 * TOLERANCES[precision].logits
    losses = [[*theirs.losses[0][:2], theirs.losses[0][2] * moved], theirs.losses[1]]
    changes = {
        "epoch 1: feature loss": {"losses": losses},
        "epoch 2: val few": {"val": [theirs.val[0], {**theirs.val[1], "few": theirs.val[1]["few"] + 1 / 16}]},
        "epoch 1: val many": {"val": [{**theirs.val[0], "many": 0.0}, theirs.val[1]]},
        "best epoch": {"best_epoch": 3 - theirs.best_epoch},
        "test medium": {"test": {**theirs.test, "medium": 0.25}},
        "test_open open_accuracy": {"test_open": {**theirs.test_open, "open_accuracy": 0.0}},
        **{
            f"{what}: distance": {"arrays": {**theirs.arrays, name: theirs.arrays[name] * moved}}
            for what, name in {
                "test_logits": "test_logits",
                "open_logits": "open_logits",
                "centroids": "centroids",
                "weights": "weight_moments",
            }.items()
        },
    }
    assert all(row.agrees for row in compare(theirs, theirs, precision))
    for what, change in changes.items():
        assert [row.what for row in compare(replace(theirs, **change), theirs, precision) if not row.agrees] == [what]


def test_the_command_prints_both_and_says_where_they_differ(monkeypatch, capsys):
    changed = replace(RECORDS["float32"]["stage_1"], best_epoch=1)
    monkeypatch.setattr(parity_ours, "train", lambda precision, tell, names: {**RECORDS[precision], "stage_1": changed})
    assert parity.main(["--precision", "float32"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line.endswith("differs")] == [
        ["best", "epoch", "1", "2", "1.0e+00", "0.0e+00", "differs"]
    ]
    assert sum("published" in line for line in lines) == len(parity_runs.RUNS)
    assert parity.main(["--precision", "float64"]) == 1
    monkeypatch.setattr(parity_ours, "train", lambda precision, tell, names: RECORDS[precision])
    assert parity.main([]) == 0


def test_a_record_comes_back_as_it_was_written(tmp_path):
    parity_measured.save(tmp_path, MADE, RECORDS)
    made, records = parity_measured.load(tmp_path)
    assert made == MADE
    for precision in TOLERANCES:
        assert not disagreements(records[precision], RECORDS[precision], precision)
        assert {name: run.steps for name, run in records[precision].items()} == {
            name: run.steps for name, run in RECORDS[precision].items()
        }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--write", "somewhere"], "--write and --fork go with --published, a checkout of the published code"),
        (["--published", "nowhere"], "nowhere: there is no main.py; it should be a checkout of zhmiao/"),
    ],
)
def test_what_the_user_gets_wrong_is_one_line(arguments, message, capsys):
    assert parity.main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"benchmarks.parity: {message}")


def test_a_checkout_that_is_none_is_told_by_the_file_that_it_lacks(tmp_path, capsys):
    for name in NEEDED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert parity.main(["--published", str(tmp_path), "--fork", str(tmp_path)]) == 2
    assert "there is no loss/asl_focal_loss.py; it should be the folder OLTR of a" in capsys.readouterr().err
    assert parity.main(["--published", str(tmp_path), "--precision", "float32"]) == 1
    assert "the published code failed: main.py --config ./config/ImageNet_LT/stage_1.py: " in capsys.readouterr().err
