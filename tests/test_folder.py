"""A run's folder: what state it is in, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oltr.contracts import UserError
from oltr.folder import WRITTEN, RunFolder, StaleRunError

PLAIN: dict[str, Any] = {"epochs": 3, "workers": 0, "losses": [{"weight": 1.0}], "evaluation": {"scorers": ["msp"]}}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder.of(Path("config/Some_LT/stage_1.yaml"), out=tmp_path, seed=4)
    made.begin(PLAIN, None, "d1")
    return made


def test_a_run_is_named_for_config_and_seed(folder: RunFolder, tmp_path: Path) -> None:
    assert folder.path == tmp_path / "Some_LT" / "stage_1" / "seed_4"
    assert folder.name == "Some_LT/stage_1/seed_4"


def test_another_config_is_refused_with_the_difference(folder: RunFolder) -> None:
    folder.demand_same(PLAIN)
    folder.demand_same({**PLAIN, "workers": 8})
    with pytest.raises(UserError, match=r"another config \(epochs: 3 -> 4; losses.0.weight: 1.0 -> 0.5\): --fresh"):
        folder.demand_same({**PLAIN, "epochs": 4, "losses": [{"weight": 0.5}]})
    folder.demand_same({**PLAIN, "evaluation": {"scorers": []}}, besides=("evaluation",))


def test_other_first_weights_are_refused(folder: RunFolder) -> None:
    folder.demand_origin(None)
    with pytest.raises(UserError, match="started from other weights"):
        folder.demand_origin({"run": "a", "sha256": "b"})


def test_beginning_removes_what_a_run_wrote_and_nothing_else(folder: RunFolder) -> None:
    mine = ["my_figure.png", "notes.md", "notes.txt"]
    for name in ("best.pt", "log.jsonl", "report.json", "roc.png", *mine):
        (folder.path / name).write_text("x")
    for name in ("report.json", "thesis.txt"):
        (folder.path / "test").mkdir(exist_ok=True)
        (folder.path / "test" / name).write_text("x")
    assert folder.trained
    folder.begin({**PLAIN, "epochs": 9}, None, "d1")
    assert sorted(path.name for path in folder.path.iterdir()) == ["config.yaml", *mine, "origin.json", "test"]
    assert [path.name for path in (folder.path / "test").iterdir()] == ["thesis.txt"]
    assert not folder.trained
    folder.demand_same({**PLAIN, "epochs": 9})


def test_history_forgets_what_is_trained_again_and_a_line_cut_short(folder: RunFolder) -> None:
    for epoch in range(4):
        folder.append({"epoch": epoch})
    with folder.log.open("a") as file:
        file.write('{"epoch": 4')
    assert [line["epoch"] for line in folder.history()] == [0, 1, 2, 3]
    folder.keep_history(2)
    folder.append({"epoch": 2})
    assert [line["epoch"] for line in folder.history()] == [0, 1, 2]


def test_a_begin_that_is_cut_still_says_which_run_it_was(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WRITTEN[:-1]:
        (folder.path / name).write_text("x")
    real, removed = Path.unlink, []

    def cut(path: Path, missing_ok: bool = False) -> None:
        removed.append(path)
        if path == folder.config:
            raise KeyboardInterrupt
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", cut)
    with pytest.raises(KeyboardInterrupt):
        folder.begin({**PLAIN, "epochs": 9}, None, "d1")
    assert [path.name for path in folder.path.iterdir()] == ["config.yaml"]
    folder.demand_same(PLAIN)


def test_other_data_are_refused(folder: RunFolder) -> None:
    folder.demand_data("d1")
    with pytest.raises(StaleRunError, match="was run on other data"):
        folder.demand_data("d2")


def test_one_process_at_a_time(folder: RunFolder) -> None:
    with folder.alone(), pytest.raises(UserError, match="another process is running this stage"), folder.alone():
        pass
    with folder.alone():
        pass


def test_a_published_config_names_its_own_folder() -> None:
    given = Path("./logs/ImageNet_LT/stage1")
    config = Path("config/ImageNet_LT/stage_1.py")
    assert RunFolder.of(config, out=None, seed=0, given=given).path == Path("logs/ImageNet_LT/stage1")
    assert RunFolder.of(config, out=Path("runs"), seed=0, given=given).path == Path("runs/ImageNet_LT/stage1")
    assert RunFolder.of(config, out=Path("runs"), seed=0, given=Path("mine/a")).path == Path("runs/mine/a")
    assert RunFolder.of(config, out=None, seed=0, given=given).published


def test_what_a_run_owes_to_the_test_set_is_told_also_where_images_seen_are_not_known(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)

    def told(own: int | None, before: dict[str, object] | None) -> object:
        run = {"images_seen": own, "test_selected": True}
        folder.report.write_text(json.dumps({"run": run, "provenance": {"before": before}}))
        found = folder.told()
        assert found["test_selected"]
        return found["images_seen"]

    assert told(7, None) == 7
    assert told(7, {"images_seen": 5}) == 12
    assert told(7, {"images_seen": None}) is None  # the stage before was imported
    assert told(None, {"images_seen": 5}) is None
