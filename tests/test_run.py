"""Stages and chains of them: run once, resumed exactly, refused when something changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from oltr import checkpoint, epochs, run
from oltr import results as results_of
from oltr.contracts import RunError, UserError
from oltr.folder import RunFolder, StaleRunError
from oltr.foreign.exporting import export
from oltr.predictions import Predictions
from oltr.results import report_again
from oltr.run import Request, run_stage, test_stage

Make = Callable[..., Request]
test_stage.__test__ = False  # type: ignore[attr-defined]


def weights(folder: RunFolder, name: str = "best") -> dict[str, torch.Tensor]:
    return dict(checkpoint.load(folder.path / f"{name}.pt", ("pair",))["pair"])


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def results(folder: RunFolder) -> dict[str, Any]:
    """All of a report but its times and its folder."""
    report = json.loads(folder.report.read_text())
    return {key: value for key, value in report.items() if key not in ("run", "provenance")}


def test_a_chain_runs_its_first_stage_once_and_is_not_run_again(request_for: Make, caplog: Any) -> None:
    caplog.set_level("INFO", logger="oltr")
    second = run_stage(request_for("stage_2"))
    assert "which has not been run: running it first" in caplog.text
    first = RunFolder.of(Path("Tiny_LT/stage_1.yaml"), out=second.path.parents[2], seed=0)
    stamps = {path: path.stat().st_mtime_ns for path in second.path.parents[2].rglob("*.*")}
    caplog.clear()
    run_stage(request_for("stage_2"))
    assert f"{first.path} is done" in caplog.text
    assert f"{second.path} is done" in caplog.text
    assert stamps == {path: path.stat().st_mtime_ns for path in second.path.parents[2].rglob("*.*")}


def test_stage_2_takes_backbone_head_and_class_means_from_stage_1(request_for: Make) -> None:
    second = run_stage(request_for("stage_2", "epochs=0"))
    first = RunFolder.of(Path("Tiny_LT/stage_1.yaml"), out=second.path.parents[2], seed=0)
    before, after = weights(first), weights(second)
    for key, value in before.items():
        if key.startswith("backbone."):
            assert torch.equal(after[key], value), key
    assert torch.equal(after["classifier.fc_hallucinator.weight"], before["classifier.fc.weight"])
    # the memory: means of stage 1's features over the plain training set, image by image
    experiment = run.experiment_of(request_for("stage_1"), run.open_stage(request_for("stage_1"))[0])
    experiment.pair.load_state_dict(before)
    experiment.pair.eval()
    train = experiment.splits.train
    with torch.no_grad():
        features = torch.cat(
            [
                experiment.pair(experiment.test_transform.batch(image[None], torch.Generator())).features
                for image in train.read(range(len(train.labels)))
            ]
        )
    for index in range(experiment.splits.num_classes):
        mean = features[torch.from_numpy(train.labels == index)].mean(0)
        assert torch.allclose(after["memory.centroids"][index], mean, atol=1e-5)


@pytest.mark.parametrize("name", ["stage_1", "stage_2"])
@pytest.mark.parametrize("at", [1, 2])
def test_a_run_cut_anywhere_ends_with_the_same_weights_and_metrics(
    request_for: Make, monkeypatch: pytest.MonkeyPatch, name: str, at: int
) -> None:
    whole = run_stage(request_for(name, "epochs=3", out="whole"))
    if name == "stage_2":
        run_stage(request_for("stage_1", out="cut"))
    real, calls = epochs.validate, []

    def killed(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > at:
            raise KeyboardInterrupt  # epoch `at` is trained and lost
        return real(*arguments)

    monkeypatch.setattr(epochs, "validate", killed)
    with pytest.raises(KeyboardInterrupt):
        run_stage(request_for(name, "epochs=3", out="cut"))
    monkeypatch.setattr(epochs, "validate", real)
    torch.rand(7)  # whatever a new process would have drawn
    with pytest.raises(UserError, match="--resume goes on with it, --fresh runs it anew"):
        run_stage(request_for(name, "epochs=3", out="cut"))
    cut = run_stage(request_for(name, "epochs=3", out="cut", resume=True))
    assert same(weights(cut), weights(whole))
    assert same(weights(cut, "last"), weights(whole, "last"))
    assert results(cut) == results(whole)
    assert [(line["epoch"], line["loss"], line["val"]) for line in cut.history()] == [
        (line["epoch"], line["loss"], line["val"]) for line in whole.history()
    ]


def test_a_run_cut_between_its_two_checkpoints_ends_the_same(
    request_for: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_stage(request_for(out="whole"))
    real, calls = checkpoint.save, []

    def killed(path: Path, content: Mapping[str, Any]) -> None:
        calls.append(path.name)
        if calls.count("last.pt") == 2:
            raise KeyboardInterrupt  # best.pt and the log are ahead of last.pt
        real(path, content)

    monkeypatch.setattr(checkpoint, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        run_stage(request_for(out="cut"))
    monkeypatch.setattr(checkpoint, "save", real)
    cut = run_stage(request_for(out="cut", resume=True))
    assert same(weights(cut), weights(whole))
    assert results(cut) == results(whole)
    assert len(cut.history()) == 3


def test_a_run_cut_in_its_evaluation_is_evaluated_when_resumed(
    request_for: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = results_of.predict
    monkeypatch.setattr(results_of, "predict", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run_stage(request_for())
    monkeypatch.setattr(results_of, "predict", real)
    folder = run_stage(request_for(resume=True))
    assert folder.trained
    assert len(folder.history()) == 3


def test_workers_change_nothing(request_for: Make) -> None:
    here = run_stage(request_for("stage_1", out="here"))
    there = run_stage(request_for("stage_1", "workers=2", out="there"))
    assert same(weights(here), weights(there))
    assert results(here) == results(there)


def test_seeds_stand_side_by_side_and_differ(request_for: Make) -> None:
    zero, one = run_stage(request_for()), run_stage(request_for(seed=1))
    assert zero.path.parent == one.path.parent
    assert not same(weights(zero), weights(one))


def test_a_changed_config_is_refused_and_fresh_runs_it(request_for: Make) -> None:
    folder = run_stage(request_for("stage_1", "epochs=1"))
    old = folder.best.read_bytes()
    with pytest.raises(UserError, match=r"another config \(epochs: 1 -> 2\): --fresh"):
        run_stage(request_for("stage_1", "epochs=2"))
    assert folder.best.read_bytes() == old
    assert len(run_stage(request_for("stage_1", "epochs=2", fresh=True)).history()) == 2


def test_a_second_stage_notices_that_its_first_was_run_anew(request_for: Make) -> None:
    run_stage(request_for("stage_2"))
    run_stage(request_for("stage_1", fresh=True))
    run_stage(request_for("stage_2"))  # the same weights came out: nothing to complain of
    first = run_stage(request_for("stage_1"))
    content = checkpoint.load(first.best, ())
    changed = {key: value + 1 for key, value in content["pair"].items()}
    checkpoint.save(first.best, {**content, "pair": changed})
    with pytest.raises(UserError, match="started from other weights of its first stage"):
        run_stage(request_for("stage_2"))


def test_evaluating_touches_neither_log_nor_checkpoints(request_for: Make) -> None:
    folder = run_stage(request_for())
    before = {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}
    closed, opened = test_stage(request_for(), with_open=False), test_stage(request_for(), with_open=True)
    assert {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()} == before
    whole = results(folder)
    assert json.loads((opened / "report.json").read_text())["open"] == whole["open"]
    assert json.loads((closed / "report.json").read_text())["closed"] == whole["closed"]
    assert json.loads((closed / "report.json").read_text())["open"] is None
    shutil.rmtree(folder.path)
    with pytest.raises(UserError, match=r"nothing to evaluate: no best\.pt there"):
        test_stage(request_for(), with_open=False)


def test_the_report_is_recomputed_without_network_or_data(request_for: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_stage(request_for())
    expected = results(folder)
    folder.report.unlink()
    monkeypatch.setattr(run, "experiment_of", None)
    report_again(folder.path)
    assert results(folder) == expected


def test_a_report_is_recomputed_with_the_scorers_it_was_made_with(request_for: Make) -> None:
    run_stage(request_for())
    folder = test_stage(
        request_for("stage_1", "evaluation.scorers=[energy]", "evaluation.thresholds=[]"), with_open=True
    )
    before = json.loads((folder / "report.json").read_text())
    assert list(before["open"]) == ["energy"]
    report_again(folder)
    assert json.loads((folder / "report.json").read_text()) == before


def test_the_store_holds_what_the_best_network_says(request_for: Make) -> None:
    folder = run_stage(request_for("stage_2"))
    stage, _ = run.open_stage(request_for("stage_2"))
    experiment = run.experiment_of(request_for("stage_2"), stage)
    experiment.pair.load_state_dict(weights(folder))
    experiment.pair.eval()
    store = Predictions.open(folder.path / "predictions.h5")
    for name in ("val", "test", "open"):
        images, part = getattr(experiment.splits, name), store.part(name)
        assert part is not None
        assert part.ids == [images.ids[index] for index in range(len(images.labels))]
        assert np.array_equal(part.labels, images.labels)
        batch = torch.stack(images.read(range(len(images.labels))))
        with torch.no_grad():
            outputs = experiment.pair(experiment.test_transform.batch(batch, torch.Generator()))
        assert np.allclose(part.logits, outputs.logits.numpy(), atol=1e-4)
        assert np.allclose(part.features, outputs.features.numpy(), atol=1e-4)
    assert store.centroids is not None
    assert np.array_equal(store.centroids, weights(folder)["memory.centroids"].numpy())


def test_a_result_carries_its_provenance(request_for: Make) -> None:
    folder = run_stage(request_for("stage_2", command="python main.py"))
    facts = json.loads(folder.report.read_text())
    experiment = run.experiment_of(request_for("stage_2"), run.open_stage(request_for("stage_2"))[0])
    assert facts["run"]["images_seen"] == 2 * (len(experiment.splits.train.labels) // 16) * 16
    provenance = facts["provenance"]
    assert {"kind": "loss", "name": "disc_centroids"}.items() <= next(
        part for part in provenance["parts"] if part["name"] == "disc_centroids"
    ).items()
    assert provenance["starts_from"]["run"] == "Tiny_LT/stage_1/seed_0"
    assert len(provenance["data"]["sha256"]) == 64
    assert provenance["seed"] == 0
    assert provenance["command"] == "python main.py"
    assert {"device", "cpu", "cores"} <= provenance["hardware"].keys()


def test_keep_last_keeps_the_last_weights(request_for: Make) -> None:
    folder = run_stage(request_for("stage_1", "keep=last"))
    assert same(weights(folder), weights(folder, "last"))


def test_a_loss_that_is_not_finite_keeps_the_last_good_epoch(request_for: Make) -> None:
    exploding = "optimizer.lr={name: multistep, value: 0.05, milestones: [1], factor: 1.0e+30}"
    with pytest.raises(RunError, match=r"epoch [23] of 3, steps .*the loss 'cyclical_focal' is not finite"):
        run_stage(request_for("stage_1", exploding))
    folder = RunFolder.of(Path("Tiny_LT/stage_1.yaml"), out=request_for().out, seed=0)
    assert checkpoint.load(folder.last, ("epochs_done",))["epochs_done"] >= 1
    assert all(value.isfinite().all() for value in weights(folder).values())


def test_a_corrupt_checkpoint_is_named(request_for: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_stage(request_for())
    folder.best.write_bytes(folder.best.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"best\.pt: not a readable checkpoint"):
        test_stage(request_for(), with_open=True)


def test_a_folder_without_its_config_is_no_run_to_go_on_with(request_for: Make) -> None:
    folder = run_stage(request_for("stage_1", "epochs=1"))
    folder.config.unlink()
    again = run_stage(request_for("stage_1", "epochs=1", "optimizer.lr.value=0.5"))
    assert [line["lr"]["backbone"] for line in again.history()] == [0.5]


def test_the_stages_of_a_chain_see_the_same_split(request_for: Make, configs: Path) -> None:
    first = configs / "stage_1.yaml"
    first.write_text(first.read_text().replace("val_images: 4", "val_images: 5"))
    with pytest.raises(UserError, match=r"stage_1\.yaml has another split; the stages of a chain see the same images"):
        run_stage(request_for("stage_2"))


def test_a_stale_first_stage_is_named_with_its_own_config(request_for: Make) -> None:
    run_stage(request_for("stage_1", "epochs=1"))
    with pytest.raises(UserError, match=r"epochs: 1 -> 3.*--fresh .*\(give it with --config .*stage_1\.yaml\)"):
        run_stage(request_for("stage_2", fresh=True))


@pytest.mark.parametrize(
    "optimizer",
    [
        "{name: sgd, lr: 0.05, momentum: {name: linear, start: 0.5, end: 0.9}}",
        "{name: adamw, lr: 0.001, weight_decay: {name: cyclical, low: 0.01, high: 0.1}}",
    ],
)
def test_every_number_of_an_optimizer_may_be_a_schedule(request_for: Make, optimizer: str) -> None:
    folder = run_stage(request_for("stage_1", f"optimizer={optimizer}"))
    key = "momentum" if "sgd" in optimizer else "weight_decay"
    values = [line["settings"]["backbone"][key] for line in folder.history()]
    assert values == pytest.approx([0.5, 0.7, 0.9] if key == "momentum" else [0.01, 0.1, 0.01])


def test_a_run_that_came_to_nothing_begins_anew_with_another_config(request_for: Make) -> None:
    """Nothing was saved, so there is nothing that --fresh would have to be asked for."""
    with pytest.raises(RunError, match=r"epoch 1 of 3, .* is not finite"):
        run_stage(request_for("stage_1", "optimizer.lr=1.0e+30"))
    folder = run_stage(request_for("stage_1", "epochs=1"))
    assert folder.trained
    assert [line["epoch"] for line in folder.history()] == [0]


def test_a_stage_starts_from_a_file_of_weights(request_for: Make, tmp_path: Path) -> None:
    first = run_stage(request_for("stage_1", "epochs=1"))
    exported = export(first.path, tmp_path / "theirs.pth")
    for file in (exported, first.best):
        folder = run_stage(request_for("stage_2", f"init_from={file}", "epochs=0", out=file.stem))
        assert folder.started_from()["run"] == str(file)
        for key, value in weights(first).items():
            if key.startswith("backbone."):
                assert torch.equal(weights(folder)[key], value), key
        assert torch.equal(weights(folder)["classifier.fc_hallucinator.weight"], weights(first)["classifier.fc.weight"])
    by_config = run_stage(request_for("stage_2", "epochs=0", "init_from.epochs=1", out="runs"))
    assert torch.equal(weights(by_config)["memory.centroids"], weights(folder)["memory.centroids"])


def test_a_file_to_start_from_that_is_not_there_is_named(request_for: Make) -> None:
    with pytest.raises(UserError, match=r"stage_2\.yaml: init_from: .*none\.pth"):
        run_stage(request_for("stage_2", "init_from=none.pth"))


def test_initial_weights_come_from_a_file_and_must_fit(request_for: Make, tmp_path: Path) -> None:
    made = run_stage(request_for("stage_1", "epochs=0", "seed=7"))
    folder = run_stage(request_for("stage_1", "epochs=0", f"initial_weights={made.best}", out="other"))
    assert same(weights(folder), weights(made))
    assert not same(weights(folder), weights(run_stage(request_for("stage_1", "epochs=0", out="drawn"))))
    with pytest.raises(UserError, match=r"stage_1\.yaml: initial_weights: .*best\.pt"):
        run_stage(request_for("stage_1", "backbone.attention=true", f"initial_weights={made.best}", out="third"))


def test_weights_frozen_without_rest_keep_moving_their_statistics(request_for: Make) -> None:
    shared = ("epochs=1", "backbone.only=[]", "backbone.dropout=0")
    start = weights(run_stage(request_for("stage_1", *shared, "epochs=0", out="start")))
    for rest in (True, False):
        after = weights(run_stage(request_for("stage_1", *shared, f"backbone.rest={str(rest).lower()}", out=f"{rest}")))
        changed = {
            key.rpartition(".")[2]
            for key, value in start.items()
            if key.startswith("backbone.") and not torch.equal(value, after[key])
        }
        assert changed == (set() if rest else {"running_mean", "running_var", "num_batches_tracked"})


def test_a_key_that_is_newer_than_a_run_does_not_make_it_another(request_for: Make) -> None:
    folder = run_stage(request_for("stage_1", "epochs=1"))
    stored = folder.config.read_text()
    folder.config.write_text("".join(line for line in stored.splitlines(keepends=True) if "rest:" not in line))
    assert folder.config.read_text() != stored
    assert run_stage(request_for("stage_1", "epochs=1")) == folder
    assert run_stage(request_for("stage_1", "epochs=1", "compute.channels_last=false")) == folder
    with pytest.raises(StaleRunError, match=r"compute\.precision: 'float32' -> 'bfloat16'"):
        run_stage(request_for("stage_1", "epochs=1", "compute.precision=bfloat16"))


def test_what_a_stage_takes_from_a_file_is_told(request_for: Make, tmp_path: Path, caplog: Any) -> None:
    caplog.set_level("INFO", logger="oltr")
    first = run_stage(request_for("stage_1", "epochs=0")).best
    second = run_stage(request_for("stage_2", f"init_from={first}", "epochs=0")).best
    assert f"init_from: {first}: checkpoint of a run; backbone " in caplog.text
    assert f"the backbone from {first}: " in caplog.text
    assert "tensors loaded; new: modulatedatt (9)" in caplog.text
    assert f"the classifier from {first}: 2 tensors taken over" in caplog.text
    assert "not taken over" not in caplog.text
    shared = ("backbone.attention=true", "epochs=0", f"init_from={second}")
    run_stage(request_for("stage_1", *shared, out="third"))
    assert f"not taken over from {second}: classifier (5), memory (1)" in caplog.text
    with pytest.raises(UserError, match=rf"stage_1\.yaml: stage: weights from {second} do not fit"):
        run_stage(request_for("stage_1", *shared, "backbone.attention=false", out="fourth"))
    with pytest.raises(UserError, match=rf"stage: weights from {second}: dot_product takes over weights named"):
        run_stage(request_for("stage_1", *shared, "stage=meta_embedding", out="fifth"))


def test_testing_another_config_does_not_advise_to_remove_the_run(request_for: Make) -> None:
    run_stage(request_for("stage_1", "epochs=1"))
    with pytest.raises(StaleRunError, match=r"\(epochs: 1 -> 2\): --test evaluates the run as it was trained") as told:
        test_stage(request_for("stage_1", "epochs=2"), with_open=False)
    assert "--fresh" not in str(told.value)


def test_another_evaluation_scores_the_stored_predictions_and_the_network_only_where_they_lack_something(
    request_for: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_stage(request_for())
    before, best = results(folder), folder.best.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(results_of, "predict", None)  # the predictions that are there do
        patched.setattr(run, "train", None)
        run_stage(request_for("stage_1", "evaluation.scorers=[max_logit, msp]"))
        after = results(folder)
        assert list(after["open"]) == ["max_logit", "msp"]
        assert after["open"]["msp"] == before["open"]["msp"]
        assert (folder.best.read_bytes(), after["closed"]) == (best, before["closed"])
        run_stage(request_for("stage_1", "evaluation.scorers=[max_logit, msp]"))  # it knows that it was
    monkeypatch.setattr(run, "train", None)
    run_stage(request_for("stage_1", "evaluation.scorers=[msp, mahalanobis]"))
    after = results(folder)
    assert after["open"]["msp"] == before["open"]["msp"]
    assert 0 <= after["open"]["mahalanobis"]["ranking"]["auroc"] <= 1
    part = Predictions.open(folder.path / "predictions.h5").part("fit")
    assert part is not None
    assert len(part) == before["data"]["images"]["train"]


def test_a_first_stage_keeps_its_evaluation_where_another_stage_wants_its_weights(request_for: Make) -> None:
    first = run_stage(request_for("stage_1", "evaluation.scorers=[max_logit, msp]"))
    run_stage(request_for("stage_2"))
    assert list(results(first)["open"]) == ["max_logit", "msp"]


def test_what_a_stage_owes_to_the_test_set_and_to_the_stage_before_is_told(request_for: Make) -> None:
    first = run_stage(request_for("stage_1", "test_selected=true"))
    second = run_stage(request_for("stage_2", "init_from.test_selected=true"))
    told = json.loads(first.report.read_text())
    assert told["run"]["test_selected_because"] == ["the config says that something in it was chosen on the test set"]
    report = json.loads(second.report.read_text())
    assert report["run"]["test_selected"]
    assert report["run"]["test_selected_because"] == ["it starts from Tiny_LT/stage_1/seed_0, which is"]
    assert report["provenance"]["before"]["images_seen"] == told["run"]["images_seen"] > 0
    stage, _ = run.open_stage(request_for("stage_2"))
    pair = run.experiment_of(request_for("stage_2"), stage).pair
    assert report["provenance"]["parameters"] == sum(item.numel() for item in pair.parameters())


def test_a_scorer_that_runs_the_network_is_scored_while_predictions_are_made(request_for: Make) -> None:
    overrides = ("evaluation.scorers=[msp, {name: odin, epsilon: 0, temperature: 1}]",)
    folder = run_stage(request_for("stage_1", *overrides))
    scored = results(folder)["open"]
    assert scored["odin"]["ranking"] == scored["msp"]["ranking"]  # without a step it is the largest probability
    again = run_stage(request_for("stage_1", "evaluation.scorers=[msp, {name: odin, epsilon: 0.01, temperature: 1}]"))
    assert results(again)["open"]["odin"]["curves"] != scored["odin"]["curves"]  # another step, another pass
    report_again(again.path, ["msp", "odin"])
    assert "skipped" not in results(again)["open"]["odin"]


def test_the_head_in_the_store_gives_the_logits(request_for: Make) -> None:
    second = run_stage(request_for("stage_2", "evaluation.train=true"))
    for folder in (second, RunFolder.of(Path("Tiny_LT/stage_1.yaml"), out=second.path.parents[2], seed=0)):
        store = Predictions.open(folder.path / "predictions.h5")
        part = store.part("test")
        assert part is not None
        assert store.head is not None
        (block,) = part.blocks(penultimate=True)
        assert torch.allclose(block.features @ store.head.weight.T + store.head.bias, block.logits, atol=1e-4)
    assert Predictions.open(second.path / "predictions.h5").part("fit") is not None


def test_the_cache_is_made_as_the_config_says(
    monkeypatch: pytest.MonkeyPatch, request_for: Callable[..., Request]
) -> None:
    asked: dict[str, Any] = {}

    def recorded(splits: Any, **options: Any) -> Any:
        asked.update(options)
        return splits

    monkeypatch.setattr("oltr.experiment.cached", recorded)
    run_stage(request_for("stage_1", "epochs=0", "workers=0", "cache={image_size: 12, scaled_decode: true}"))
    assert (asked["image_size"], asked["scaled_decode"], asked["workers"]) == (12, True, 0)
