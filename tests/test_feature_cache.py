"""Training on cached values of a frozen backbone against training that streams the images through it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

from oltr import checkpoint, feature_file, plugins, run
from oltr.contracts import RunError, UserError
from oltr.feature_cache import FeatureCache
from oltr.feature_identity import told
from oltr.folder import RunFolder
from oltr.plain_data import ConfigError
from oltr.run import Request, run_stage
from oltr.stage_config import Part

Make = Callable[..., Request]
AT_REST = "train_transform=plain"
ATTENTION = ("stage_2", "backbone.only=[modulatedatt]", AT_REST)
LINEAR = (
    *("stage_2", "stage=feature", "backbone={name: small_resnet10, width: 2, dropout: 0.2, only: []}"),
    *("classifier=dot_product", "memory=null", "losses=[cyclical_focal]", AT_REST),
)
CACHED = "feature_cache={}"


def left_by(folder: RunFolder) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor], dict[str, Any]]:
    weights = dict(checkpoint.load(folder.best, ("pair",))["pair"])
    return folder.history(), weights, json.loads(folder.report.read_text())


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.parents[2].glob("cache/features-*.h5")}


def cache_of(request: Request, state: dict[str, torch.Tensor] | None = None) -> FeatureCache:
    """The cache of an experiment with fresh weights from the seed, or these."""
    experiment = run.experiment_of(request, run.open_stage(request)[0])
    if state is not None:
        experiment.pair.load_state_dict(state)
    assert experiment.feature_cache is not None
    return experiment.feature_cache


@pytest.mark.parametrize(("words", "holds"), [(ATTENTION, "maps"), (LINEAR, "features")], ids=["attention", "linear"])
@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_cached_training_is_streamed_training(
    words: tuple[str, ...], holds: str, compute: str, request_for: Make
) -> None:
    chosen = [*words, "init_from.epochs=1", f"compute.precision={compute}"]
    streamed, weights, report = left_by(run_stage(request_for(*chosen, out="runs")))
    assert report["provenance"]["feature_cache"] is None
    folder = run_stage(request_for(*chosen, CACHED, out="runs", fresh=True))
    cached, found, report = left_by(folder)
    tolerance = 1e-5 if compute == "float32" else 1e-2
    for left, right in zip(streamed, cached, strict=True):
        assert right["loss"] == pytest.approx(left["loss"], rel=tolerance)
        assert right["val"] == left["val"]
        assert right["images"] == left["images"]
    for name, value in weights.items():
        torch.testing.assert_close(
            found[name], value, rtol=tolerance, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )
    told = report["provenance"]["feature_cache"]
    assert (told["holds"], told["precision"], told["views"]) == (holds, compute, 1)
    assert f"Trained from a feature cache: {holds} of " in (folder.path / "report.md").read_text()


def test_it_was_the_cache_that_was_trained_on(request_for: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that are all doubled on their way from the file give other losses."""
    chosen = [*LINEAR, "init_from.epochs=1", CACHED]
    plain, _, _ = left_by(run_stage(request_for(*chosen)))
    read = feature_file.mapped

    def doubled(*arguments: Any, **options: Any) -> Any:
        values = read(*arguments, **options)
        return None if values is None else 2 * values

    monkeypatch.setattr(feature_file, "mapped", doubled)
    other, _, _ = left_by(run_stage(request_for(*chosen, fresh=True)))
    assert other[0]["loss"]["total"] != pytest.approx(plain[0]["loss"]["total"], rel=1e-3)


def test_a_cache_is_shared_by_all_that_have_the_same_weights_and_data(request_for: Make) -> None:
    chosen = [*LINEAR, "init_from.epochs=1", CACHED]
    folder = run_stage(request_for(*chosen)).path
    made = files(folder)
    assert sorted(path.name.split("-")[1] for path in made) == ["train", "val"]
    run_stage(request_for(*chosen, "optimizer.lr=0.3", "losses=[cross_entropy]", "epochs=1", fresh=True))
    assert files(folder) == made
    one, other = (cache_of(request_for(*chosen, seed=seed)) for seed in (0, 1))
    assert one.train.values.shape == other.train.values.shape
    assert len(files(folder)) == 4, "two other backbones, each fresh from its seed"


def test_each_view_is_what_training_would_see_in_its_epoch(request_for: Make) -> None:
    request = request_for(*LINEAR[:-1], "feature_cache={views: 2}", "backbone.dropout=0")
    cache = cache_of(request)
    experiment, images = cache.experiment, len(cache.experiment.splits.train.labels)
    batches = experiment.batches_of(experiment.splits.train, "train_transform", experiment.config.evaluation.batch_size)
    order = torch.randperm(images, generator=torch.Generator().manual_seed(0))
    seen = []
    for epoch in range(3):
        found = list(cache.train.epoch(order, epoch=epoch, drop_last=False))
        with torch.no_grad():
            shown = batches.epoch(torch.arange(images), epoch=epoch % 2, drop_last=False)
            streamed = torch.cat([experiment.pair.eval().backbone(inputs) for inputs, _, _ in shown])
        seen.append(torch.cat([values for values, _, _ in found]))
        torch.testing.assert_close(seen[-1], streamed[order])
        labels = torch.cat([labels for _, labels, _ in found])
        assert labels.tolist() == experiment.splits.train.labels[order.numpy()].tolist()
    assert torch.equal(seen[0], seen[2])
    assert not torch.allclose(seen[0], seen[1])


def test_the_seed_counts_where_something_is_drawn_and_only_there(request_for: Make) -> None:
    state = cache_of(request_for(*LINEAR, CACHED)).experiment.pair.state_dict()
    for words, same in ((LINEAR, True), (LINEAR[:-1], False)):
        one, other = (cache_of(request_for(*words, CACHED, seed=seed), state).describe() for seed in (0, 1))
        assert (one["identity"]["train"] == other["identity"]["train"]) == same
        assert one["identity"]["val"] == other["identity"]["val"]


def test_a_test_transform_that_draws_makes_the_seed_count_too(request_for: Make) -> None:
    words = [*LINEAR[:-1], *(f"{key}_transform={{name: plain, padding: 2}}" for key in ("train", "test")), CACHED]
    state = cache_of(request_for(*words)).experiment.pair.state_dict()
    one, same, other = (cache_of(request_for(*words, seed=seed), state) for seed in (0, 0, 1))
    assert not torch.equal(one.train.values, other.train.values)
    assert torch.equal(one.train.values, same.train.values)
    assert one.describe()["identity"].keys() == other.describe()["identity"].keys() == {"train", "val"}
    for name, whole in one.describe()["identity"].items():
        assert whole == same.describe()["identity"][name]
        assert whole != other.describe()["identity"][name]


@pytest.mark.parametrize(
    ("change", "sets"),
    [
        ("compute.precision=bfloat16", {"train", "val"}),
        ("feature_cache.precision=float16", {"train", "val"}),
        ("backbone.dropout=0.1", {"train", "val"}),
        ("data.val_images=5", {"train", "val"}),
        ("cache={image_size: 10}", {"train", "val"}),
        ("train_transform={name: plain, padding: 2}", {"train"}),
        ("evaluation.batch_size=8", {"train"}),
        ("feature_cache.views=2", {"train"}),
        ("test_transform={name: plain, mean: [0.4]}", {"val"}),
        ("optimizer.lr=0.3", set()),
    ],
)
def test_all_that_values_depend_on_makes_another_file_and_nothing_else(
    change: str, sets: set[str], request_for: Make
) -> None:
    words = [*LINEAR[:-1], CACHED]
    first = cache_of(request_for(*words))
    state, told_first = first.experiment.pair.state_dict(), first._identities
    told_then = cache_of(request_for(*words, change), state)._identities
    assert {name for name in told_first if told_first[name] != told_then[name]} == sets
    assert told_first["train"] != told_first["val"]


def test_images_of_another_cache_make_other_values(request_for: Make) -> None:
    whole, scaled = (
        cache_of(request_for(*LINEAR[:-1], CACHED, f"cache={{image_size: 10, scaled_decode: {scaled}}}"))._identities
        for scaled in ("false", "true")
    )
    assert all(whole[name] != scaled[name] for name in whole)


def test_another_kind_of_device_has_files_of_its_own(request_for: Make) -> None:
    first = cache_of(request_for(*LINEAR, CACHED))
    identities, there = dict(first._identities), copy(first.experiment)  # with its network, which is here
    vars(there)["device"] = torch.device("cuda")
    other = replace(first, experiment=there)
    vars(other)["_stored"] = first._stored
    assert not set(identities.values()) & set(other._identities.values())


def test_views_that_no_epoch_would_see_are_not_made(request_for: Make) -> None:
    words = [*LINEAR[:-1], "epochs=2"]
    many = cache_of(request_for(*words, "feature_cache.views=9"))
    state = many.experiment.pair.state_dict()
    assert many.describe()["views"] == 2
    assert len(many.train.values) == 2 * len(many.experiment.splits.train.labels)
    assert many._identities == cache_of(request_for(*words, "feature_cache.views=2"), state)._identities


def test_training_and_validation_images_seen_alike_have_a_file_each(request_for: Make) -> None:
    cache = cache_of(request_for(*LINEAR, CACHED))
    assert len(set(cache._identities.values())) == 2


def test_an_edited_part_of_the_users_own_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "own_transform_of_a_user.py"
    found = []
    for text in ("class Own: pass\n", "class Own: size = 3\n", "class Own: pass\n"):
        file.write_text(text)
        found.append(told(plugins.TRANSFORMS, Part(name="own_transform_of_a_user:Own")))
    assert found[0] == found[2] != found[1]
    assert told(plugins.TRANSFORMS, Part(name="plain"))[-1] is None


@pytest.mark.parametrize("harm", ["flip", "cut", "swap"])
def test_a_damaged_file_is_made_again(harm: str, request_for: Make, caplog: Any) -> None:
    request = request_for(*LINEAR, CACHED)
    whole = cache_of(request).train.values
    path = next(request.cache_folder.glob("features-train-*.h5"))
    with h5py.File(path) as file:
        place = file["values"].id.get_offset() + 5  # among the values: of its own structures HDF5 has checksums
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes({"flip": bytes(content), "cut": content[: len(content) // 2], "swap": b"something else"}[harm])
    assert torch.equal(cache_of(request).train.values, whole)
    assert "is damaged" in caplog.text
    caplog.clear()
    assert torch.equal(cache_of(request).train.values, whole)
    assert "is damaged" not in caplog.text


@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 2**-8), ("float16", 2**-11)])
def test_half_precision_keeps_its_digits(precision: str, tolerance: float, request_for: Make) -> None:
    plain = cache_of(request_for(*LINEAR, CACHED)).train
    small = cache_of(request_for(*LINEAR, f"feature_cache={{precision: {precision}}}")).train
    assert small.values.dtype == getattr(torch, precision)
    assert 2 * small.values.nbytes == plain.values.nbytes
    rows = torch.arange(16)
    one, other = (next(batches.epoch(rows, epoch=0, drop_last=True))[0] for batches in (plain, small))
    assert other.dtype == torch.float32
    torch.testing.assert_close(other, one, rtol=tolerance, atol=1e-6)
    assert not torch.equal(other, one)


def test_a_file_beyond_memory_gives_the_same_batches(request_for: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_for("stage_2", "backbone.only=[modulatedatt]", CACHED)
    rows = torch.tensor([5, 3, 3, 40, 0])
    held = next(cache_of(request).train.epoch(rows, epoch=0, drop_last=False))
    monkeypatch.setattr("oltr.feature_file.MEMORY", 0)
    monkeypatch.setattr("oltr.cached_batches.MEMORY", 0)
    for left, right in zip(next(cache_of(request).train.epoch(rows, epoch=0, drop_last=False)), held, strict=True):
        assert torch.equal(left, right)


def test_a_file_larger_than_all_memory_is_mapped(tmp_path: Path) -> None:
    """Sparse: twice the machine's memory on paper, hardly a block on the disk."""
    room = 2 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    layout = feature_file.Layout(views=1, images=room // 2**20, shape=(2**18,), dtype=torch.float32)
    path = tmp_path / "sparse.h5"
    with h5py.File(path, "w", libver="v110") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((layout.rows, *layout.shape))
        h5py.h5d.create(file.id, b"values", h5py.h5t.IEEE_F32LE, space, plan)
        file["values"][-1, -3:] = [1.0, 2.0, 3.0]
        file.attrs.update({"identity": "its own", "checksum": 0})
    assert path.stat().st_blocks * 512 < room / 100
    rows = feature_file.mapped(path, "its own", layout, verify=False)
    assert rows is not None
    assert rows[-1, -4:].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["backbone.only=null"], "feature_cache: the backbone trains: freeze it"),
        (["backbone.rest=false"], "feature_cache: backbone.rest: false lets the frozen statistics move"),
        (["feature_cache.views=2", AT_REST], "feature_cache.views: 1, not 2: train_transform is test_transform"),
        (["feature_cache.views=0"], "feature_cache.views: a whole number from 1 on, not 0"),
        (["feature_cache.precision=float61"], "feature_cache.precision: 'float61'; did you mean 'float16'?"),
        (["feature_cache.view=1"], "feature_cache: unknown key 'view'; did you mean 'views'?"),
    ],
)
def test_what_cannot_be_cached_is_refused(words: list[str], message: str, request_for: Make) -> None:
    with pytest.raises(ConfigError) as error:
        run_stage(request_for("stage_2", "backbone.only=[modulatedatt]", CACHED, *words))
    assert f"stage_2.yaml: {message}" in str(error.value)


def test_a_child_that_trains_too_early_is_named(request_for: Make) -> None:
    with pytest.raises(UserError, match=r"stage_2.yaml: feature_cache: the backbone's 'layer4' trains.*modulatedatt"):
        run_stage(request_for("stage_2", "backbone.only=[modulatedatt, layer4]", CACHED, "init_from.epochs=1"))


def test_a_disk_without_room_is_told_before_the_pass(request_for: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with pytest.raises(RunError, match=r"feature_cache: \d+ images of 16 values in float32: .* has 1e-08 GB left"):
        assert cache_of(request_for(*LINEAR, CACHED)).train


def test_values_that_a_precision_cannot_hold_are_told(tmp_path: Path) -> None:
    layout = feature_file.Layout(views=1, images=1, shape=(1,), dtype=torch.float16)
    with pytest.raises(RunError, match="not finite in float16: try precision float32"):
        feature_file.write(tmp_path / "file.h5", "identity", layout, [torch.tensor([[1e6]])])
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """With what the system says of it, and nothing of it stays: here it may not grow beyond a kilobyte."""
    script = (
        "import resource, signal, sys, torch\n"
        "from pathlib import Path\n"
        "from oltr import feature_file\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))\n"
        "layout = feature_file.Layout(views=1, images=64, shape=(64,), dtype=torch.float32)\n"
        "try:\n"
        "    feature_file.write(Path(sys.argv[1]), 'identity', layout, [torch.ones(64, 64)])\n"
        "except OSError as error:\n"
        "    sys.stdout.write(f'{error.filename}: {error.strerror}')\n"
    )
    path = tmp_path / "file.h5"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{path}: File too large"
    assert not list(tmp_path.iterdir())
