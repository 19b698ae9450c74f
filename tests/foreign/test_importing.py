"""Results of other programs as runs of this suite: the same numbers, and nothing that is not known made up."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from oltr import checkpoint
from oltr.cli import main
from oltr.contracts import UserError
from oltr.experiment import Experiment
from oltr.folder import RunFolder, StaleRunError
from oltr.foreign.exporting import export
from oltr.foreign.importing import import_files
from oltr.predictions import Predictions, export_npz
from oltr.results import report_again
from oltr.run import Request, run_stage
from oltr.run import test_stage as evaluate_stage

Ask = Callable[..., Request]


MADE: dict[str, Path] = {}

NEAR_ALONE = ("data.far_images=0", "data.open_val_classes=0")
"""Files of logits hold a test set and one open set."""


@pytest.fixture
def trained(configs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained stage 1 with its exported checkpoint and logits; made once, to be read from and never written to."""
    if "run" not in MADE:
        out = tmp_path_factory.mktemp("trained")
        request = Request(config=configs / "stage_1.yaml", overrides=("epochs=2", *NEAR_ALONE), out=out, device="cpu")
        MADE["run"] = run_stage(request).path
        export(MADE["run"])
        export_npz(Predictions.open(MADE["run"] / "predictions.h5"), MADE["run"])
    return MADE["run"]


def reported(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def test_a_checkpoint_becomes_a_finished_run_with_the_same_numbers(
    trained: Path, request_for: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")  # nothing is trained: nothing of it is wanted
    request = request_for("stage_1", *NEAR_ALONE, "compute.compile_losses=true", command="oltr import FILE")
    folder = import_files(request, [trained / "final_model_checkpoint.pth"])
    ours, theirs = reported(folder.path), reported(trained)
    assert ours["closed"] == theirs["closed"]
    assert ours["validation"] == theirs["validation"]
    assert ours["open"] == theirs["open"]
    assert ours["run"]["command"] == "oltr import FILE"
    assert folder.log.read_bytes() == b""
    imported = ours["provenance"]["imported"]
    assert imported["files"][0]["name"] == "final_model_checkpoint.pth"
    assert len(imported["files"][0]["sha256"]) == 64
    best = checkpoint.load(trained / "best.pt", ("epoch", "accuracy"))
    assert (imported["epoch"], imported["best_epoch"], imported["best_acc"]) == (2, best["epoch"] + 1, best["accuracy"])
    text = (folder.path / "report.md").read_text()
    assert "Imported, not trained here: published checkpoint, final\\_model\\_checkpoint.pth (SHA-256" in text
    assert "last epoch 2" in text


def test_an_imported_run_is_tested_reported_exported_and_started_from(trained: Path, request_for: Ask) -> None:
    folder = import_files(request_for("stage_1"), [trained / "final_model_checkpoint.pth"])
    target = evaluate_stage(request_for("stage_1"), with_open=True)
    assert reported(target)["closed"] == reported(trained)["closed"]
    before = reported(folder.path)
    report_again(folder.path)
    assert reported(folder.path) == before
    exported = torch.load(export(folder.path), weights_only=True)
    original = torch.load(trained / "final_model_checkpoint.pth", weights_only=True)
    assert {key: exported[key] for key in ("epoch", "best_epoch", "best_acc")} == {
        key: original[key] for key in ("epoch", "best_epoch", "best_acc")
    }
    stamp = folder.best.stat().st_mtime_ns
    second = run_stage(request_for("stage_2", "epochs=0"))
    assert folder.best.stat().st_mtime_ns == stamp
    first, later = (checkpoint.load(run.best, ("pair",))["pair"] for run in (folder, second))
    assert torch.equal(later["backbone.conv1.weight"], first["backbone.conv1.weight"])
    assert torch.equal(later["classifier.fc_hallucinator.weight"], first["classifier.fc.weight"])


def test_a_second_stage_is_imported_with_its_centroids(request_for: Ask, tmp_path: Path) -> None:
    source = run_stage(request_for("stage_2", "epochs=1", "init_from.epochs=1", out="theirs"))
    file = export(source.path, tmp_path / "stage_2.pth")
    folder = import_files(request_for("stage_2"), [file])
    assert reported(folder.path)["open"] == reported(source.path)["open"]
    stored = Predictions.open(folder.path / "predictions.h5").centroids
    assert stored is not None
    assert np.array_equal(stored, torch.load(file, weights_only=True)["centroids"].numpy())
    assert "imported from" in folder.started_from()["run"]
    assert not (tmp_path / "runs" / "Tiny_LT" / "stage_1").exists()


def test_an_imported_second_stage_is_not_trained_again(request_for: Ask, tmp_path: Path) -> None:
    """Nor is the stage before it, which is not here."""
    file = export(run_stage(request_for("stage_2", out="elsewhere")).path, tmp_path / "theirs.pth")
    folder = import_files(request_for("stage_2"), [file])
    before = folder.best.read_bytes()
    assert run_stage(request_for("stage_2")) == folder
    assert folder.best.read_bytes() == before
    assert not folder.path.parent.with_name("stage_1").exists()


def test_imported_logits_are_not_written_over_by_a_run(trained: Path, request_for: Ask) -> None:
    folder = import_files(request_for("stage_1"), [trained / "logits_open.npz"])
    before = folder.report.read_bytes()
    assert run_stage(request_for("stage_1")) == folder
    assert folder.report.read_bytes() == before


def test_a_run_is_replaced_only_when_that_is_asked_for(trained: Path, request_for: Ask) -> None:
    file = trained / "final_model_checkpoint.pth"
    import_files(request_for("stage_1"), [file])
    with pytest.raises(StaleRunError, match="holds a run: --fresh puts the imported one in its place, --out keeps"):
        import_files(request_for("stage_1"), [file])
    folder = import_files(request_for("stage_1", fresh=True), [trained / "logits_open.npz"])
    assert not folder.best.exists()
    with pytest.raises(StaleRunError, match="holds a run"):
        import_files(request_for("stage_1"), [file])


def test_a_checkpoint_that_does_not_fit_leaves_nothing_behind(
    trained: Path, request_for: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = trained / "final_model_checkpoint.pth"
    with pytest.raises(UserError, match=r"do not fit the NetworkPair: it lacks .*backbone.modulatedatt"):
        import_files(request_for("stage_1", "backbone.attention=true"), [file])
    assert not (tmp_path / "runs" / "Tiny_LT").exists()

    def broken(self: Experiment, *inputs: Any) -> Any:
        raise UserError("image 3 cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "passes", broken)
        with pytest.raises(UserError, match="image 3"):
            import_files(request_for("stage_1"), [file])
    assert reported(import_files(request_for("stage_1"), [file]).path)["closed"] == reported(trained)["closed"]


# ---------------------------------------------------------------- logits


def npz(path: Path, trained: Path, **changes: Any) -> Path:
    """A copy of the trained run's logits_open.npz with other arrays; None drops one."""
    arrays = {**np.load(trained / "logits_open.npz"), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def without_points(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "operating_points"}


@pytest.mark.parametrize("names", [["logits_open.npz"], ["logits_close.npz", "logits_open.npz"]])
def test_logits_give_the_numbers_of_the_run_that_wrote_them(
    names: list[str], trained: Path, request_for: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: object, *inputs: Any) -> Any:
        raise AssertionError("no network is built for logits")

    monkeypatch.setattr(Experiment, "pair", property(read))
    folder = import_files(request_for("stage_1"), [trained / name for name in names])
    ours, theirs = reported(folder.path), reported(trained)
    assert ours["closed"] == theirs["closed"]
    assert ours["data"]["images"] == {**theirs["data"]["images"], "val": None}
    assert ours["data"]["shots"] == theirs["data"]["shots"]
    assert [row["train_images"] for row in ours["classes"]] == [row["train_images"] for row in theirs["classes"]]
    for name in ("msp", "energy"):
        assert without_points(ours["open"][name]) == without_points(theirs["open"][name])
    fixed = {name: point for name, point in theirs["open"]["msp"]["operating_points"].items() if "fixed" in name}
    assert ours["open"]["msp"]["operating_points"] == fixed
    stored = Predictions.open(folder.path / "predictions.h5")
    part = stored.part("test")
    assert part is not None
    assert part.features.shape == (30, 0)
    assert part.ids[0] == str(np.load(trained / "logits_close.npz")["paths"][0])
    assert stored.feature_dim == 0


def test_what_logits_do_not_tell_is_said(trained: Path, request_for: Ask) -> None:
    folder = import_files(request_for("stage_1"), [trained / "logits_open.npz"])
    text = (folder.path / "report.md").read_text()
    assert "There are no predictions of the validation set, so no threshold is set on it" in text
    assert "- centroid\\_distance: it needs class centroids, and the predictions were stored without any" in text
    assert reported(folder.path)["validation"] is None
    before = reported(folder.path)
    report_again(folder.path)
    assert reported(folder.path) == before


def test_closed_logits_alone_and_no_fixed_threshold(trained: Path, request_for: Ask) -> None:
    folder = import_files(request_for("stage_1", out="closed"), [trained / "logits_close.npz"])
    assert reported(folder.path)["open"] is None
    assert reported(folder.path)["closed"] == reported(trained)["closed"]
    folder = import_files(
        request_for("stage_1", "evaluation.thresholds=[known_acceptance]", out="bare"), [trained / "logits_open.npz"]
    )
    assert reported(folder.path)["open"]["msp"]["operating_points"] == {}
    assert "AUROC" in (folder.path / "report.md").read_text()


def test_images_other_than_those_of_the_config_are_told(
    trained: Path, request_for: Ask, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arrays = {name: array[1:] for name, array in np.load(trained / "logits_open.npz").items()}
    file = npz(tmp_path / "fewer.npz", trained, **arrays)
    with caplog.at_level(logging.WARNING, logger="oltr"):
        folder = import_files(request_for("stage_1"), [file])
    assert "it has 29 test images and the config's data 30, or other ones" in caplog.text
    assert reported(folder.path)["data"]["images"]["test"] == 29


def test_names_that_stand_twice_are_told_apart(
    trained: Path, request_for: Ask, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = np.load(trained / "logits_open.npz")["paths"].astype("U64")
    paths[1] = paths[2] = paths[0]
    with caplog.at_level(logging.WARNING, logger="oltr"):
        folder = import_files(request_for("stage_1"), [npz(tmp_path / "twice.npz", trained, paths=paths.astype("S"))])
    assert "2 of its paths stand there before" in caplog.text
    part = Predictions.open(folder.path / "predictions.h5").part("test")
    assert part is not None
    assert part.ids[:3] == [paths[0], f"{paths[0]} (2)", f"{paths[0]} (3)"]


def test_files_of_logits_that_are_not_right_are_refused_in_one_line(
    trained: Path, request_for: Ask, tmp_path: Path
) -> None:
    right = dict(np.load(trained / "logits_open.npz"))
    nan, labels = right["logits"].copy(), right["labels"].copy()
    nan[4, 2], labels[3] = np.nan, 5
    whole = (trained / "logits_open.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:-200])
    (tmp_path / "text.npz").write_text("logits")
    np.save(tmp_path / "single.npy", right["logits"])
    (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    for name, changes in {
        "lacking": {"paths": None},
        "objects": {"paths": right["paths"].astype(object)},
        "flat": {"logits": right["logits"][:, 0]},
        "whole_numbers": {"logits": right["logits"].astype(int)},
        "classes": {"logits": right["logits"][:, :4]},
        "lengths": {"labels": right["labels"][1:]},
        "kind": {"labels": right["labels"].astype(float)},
        "names": {"paths": np.arange(len(labels))},
        "outside": {"labels": labels},
        "nan": {"logits": nan},
        "huge": {"logits": np.where(np.isnan(nan), 1e300, nan.astype(np.float64))},
        "strangers": {"labels": np.full_like(labels, -1)},
    }.items():
        npz(tmp_path / f"{name}.npz", trained, **changes)
    image = right["paths"][4]
    for name, reason in {
        "missing": "no such file of logits",
        "cut": "not a whole npz file of logits",
        "text": "not a whole npz file of logits",
        "single": "not a whole npz file of logits",
        "lacking": "no array 'paths' in it; the published code writes logits, labels, paths",
        "objects": r"its paths are Python objects, which are not read; save them as np.array\(paths, dtype=str\)",
        "flat": r"logits are numbers of shape \[N, C\], not float32 \[40\]",
        "whole_numbers": r"logits are numbers of shape \[N, C\], not int64",
        "classes": "logits of 4 classes, and the config's data have 5",
        "lengths": r"labels have shape \[39\], where there are 40 logits",
        "kind": "labels are whole numbers, not float64",
        "names": "paths are text, not int64",
        "outside": "label 5, where labels are 0 to 4, or -1 for open",
        "nan": f"the logits of '{image}' are not finite",
        "huge": f"the logits of '{image}' are not finite",
        "strangers": r"no image of a known class in it",
    }.items():
        with pytest.raises(UserError, match=reason) as told:
            import_files(request_for("stage_1"), [tmp_path / f"{name}.npz"])
        assert f"{name}.npz" in str(told.value)
        assert "\n" not in str(told.value)
    assert not (tmp_path / "runs" / "Tiny_LT").exists()


def test_two_files_of_logits_are_of_one_run(trained: Path, request_for: Ask, tmp_path: Path) -> None:
    right = dict(np.load(trained / "logits_open.npz"))
    closed = trained / "logits_close.npz"
    names = right["paths"].astype("U64")
    names[0] = "another"
    for name, changes, reason in (
        ("logits", {"logits": right["logits"] + 1}, "differ in the logits of known images: they are of two runs"),
        ("names", {"paths": names}, "differ in the ids of known images: they are of two test sets"),
    ):
        file = npz(tmp_path / f"{name}.npz", trained, **changes)
        with pytest.raises(UserError, match=reason):
            import_files(request_for("stage_1"), [closed, file])
    with pytest.raises(UserError, match="are both without open images"):
        import_files(request_for("stage_1"), [closed, closed])
    with pytest.raises(UserError, match=r"are both with open images"):
        import_files(request_for("stage_1"), [file, file])
    with pytest.raises(UserError, match="from one file, or from the closed one and the open one"):
        import_files(request_for("stage_1"), [closed, file, file])
    with pytest.raises(UserError, match=r"imported from one checkpoint, or from .npz files"):
        import_files(request_for("stage_1"), [closed, trained / "best.pt"])


def test_files_of_the_user_are_never_written_over(trained: Path, request_for: Ask, tmp_path: Path) -> None:
    """A published config's folder holds what the published code wrote there."""
    folder = tmp_path / "runs" / "Tiny_LT" / "stage_1" / "seed_0"
    folder.mkdir(parents=True)
    file = npz(folder / "logits_open.npz", trained)
    content = file.read_bytes()
    for source in (file, trained / "logits_open.npz"):
        for fresh in (False, True):
            with pytest.raises(UserError, match=r"logits_open.npz stands where the run writes its own: move it"):
                import_files(request_for("stage_1", fresh=fresh), [source])
    assert file.read_bytes() == content


def test_a_file_in_the_folder_that_fresh_empties_is_kept(trained: Path, request_for: Ask) -> None:
    run = import_files(request_for("stage_1"), [trained / "final_model_checkpoint.pth"])
    target = evaluate_stage(request_for("stage_1"), with_open=True)
    (file,) = (path for path in export_npz(Predictions.open(target / "predictions.h5"), target) if "open" in path.name)
    for source in (file, run.best):
        with pytest.raises(UserError, match="stands where the run writes its own: move it"):
            import_files(request_for("stage_1", fresh=True), [source])
        assert source.is_file()


# ---------------------------------------------------------------- export


def test_an_export_replaces_only_exports(trained: Path, tmp_path: Path) -> None:
    target = tmp_path / "made" / "theirs.pth"
    target.parent.mkdir()
    for content in (b"not ours", b""):
        target.write_bytes(content)
        with pytest.raises(UserError, match="was not exported by this suite: --force replaces it, --output keeps both"):
            export(trained, target)
        assert target.read_bytes() == content
    assert export(trained, target, force=True) == target
    assert export(trained, target) == target
    assert set(torch.load(target, weights_only=True)["state_dict_best"]) == {"feat_model", "classifier"}


def test_what_cannot_be_exported_says_why(trained: Path, tmp_path: Path, request_for: Ask) -> None:
    with pytest.raises(UserError, match=r"no run's folder: it has no config.yaml.*stage_1/seed_0"):
        export(trained.parent)
    with pytest.raises(UserError, match="no run's folder"):
        export(tmp_path / "nowhere")
    folder = import_files(request_for("stage_1"), [trained / "logits_open.npz"])
    with pytest.raises(UserError, match=r"nothing to export: no best.pt there"):
        export(folder.path)


# ---------------------------------------------------------------- the commands


def test_the_commands_import_and_export(
    trained: Path, configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    where = ["--config", str(configs / "stage_1.yaml"), "--device", "cpu"]
    assert main(["export", str(trained), "--output", "out.pth"]) == 0
    assert capsys.readouterr().out == "out.pth\n"
    assert (
        main(
            ["import", "out.pth", "evaluation.thresholds.1.confidence=0.2", *where, "evaluation.thresholds.0.rate=0.9"]
        )
        == 0
    )
    assert "report: runs/Tiny_LT/stage_1/seed_0/report.html" in capsys.readouterr().out
    run = reported(tmp_path / "runs" / "Tiny_LT" / "stage_1" / "seed_0")["run"]
    assert run["config"]["evaluation"]["thresholds"][0]["rate"] == 0.9
    assert run["command"].startswith("oltr import out.pth --config ")
    assert "evaluation.thresholds.1.confidence=0.2 evaluation.thresholds.0.rate=0.9" in run["command"]
    files = [str(trained / "logits_close.npz"), str(trained / "logits_open.npz")]
    assert main(["import", *where, "--out", "other", "--seed", "3", *files]) == 0
    assert RunFolder(tmp_path / "other" / "Tiny_LT" / "stage_1" / "seed_3").report.is_file()
    assert main(["import", "evaluation.thresholds.0.rate=0.9", *where]) == 2
    assert "no FILE among the arguments" in capsys.readouterr().err
