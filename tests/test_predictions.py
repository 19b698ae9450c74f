from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import oltr.hdf5
from oltr.contracts import OPEN, Head, RunError, UserError
from oltr.hdf5 import Stream
from oltr.prediction_writer import PredictionWriter
from oltr.predictions import Predictions, export_npz

CLASSES, DIMENSIONS = 5, 3
NAMES = ["A", "ä", "字", "a|b", ""]
PROVENANCE = {"git_commit": None, "packages": {"torch": "2"}}


def writer(path: Path, **changes: Any) -> PredictionWriter:
    facts: dict[str, Any] = {
        "num_classes": CLASSES,
        "feature_dim": DIMENSIONS,
        "train_counts": [9, 5, 3, 2, 1],
        "class_names": NAMES,
        "provenance": PROVENANCE,
    }
    return PredictionWriter(path, **(facts | changes))


def images(count: int, *, seed: int = 0, unknown: bool = False) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "features": random.normal(size=(count, DIMENSIONS)).astype(np.float32),
        "logits": random.normal(size=(count, CLASSES)).astype(np.float32),
        "labels": np.full(count, OPEN) if unknown else random.integers(0, CLASSES, count),
        "ids": [f"ü/{seed}/{index}.png" for index in range(count)],
    }


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "predictions.h5"
    with writer(path) as target:
        target.add("val", **images(3, seed=3))
        target.add("test", **images(4, seed=4))
        target.add("open", **images(2, seed=5, unknown=True))
    return path


def test_what_is_appended_in_batches_is_read_in_order(tmp_path: Path) -> None:
    whole = images(10_000)  # more than a chunk of every array
    centroids = np.arange(15, dtype=np.float32).reshape(CLASSES, DIMENSIONS)
    with writer(tmp_path / "p.h5") as target:
        target.centroids(torch.from_numpy(centroids), "memory")
        for start, end in ((0, 1), (1, 129), (129, 129), (129, 9_000), (9_000, 10_000)):
            batch = {name: values[start:end] for name, values in whole.items()}
            tensors = {name: torch.as_tensor(batch[name]) for name in ("features", "logits", "labels")}
            target.add("test", **(batch | tensors))
    read = Predictions.open(tmp_path / "p.h5")
    part = read.part("test")
    assert part is not None
    assert (len(part), part.ids) == (10_000, whole["ids"])
    np.testing.assert_array_equal(part.labels, whole["labels"])
    np.testing.assert_array_equal(part.logits, whole["logits"])
    np.testing.assert_array_equal(part.features, whole["features"])
    assert (read.class_names, read.train_counts.tolist()) == (tuple(NAMES), [9, 5, 3, 2, 1])
    assert (read.provenance, read.centroids_source) == (PROVENANCE, "memory")
    assert read.part("open") is None


@pytest.mark.parametrize("size", [1, 2, 3, 4, 99])
def test_blocks_cover_a_part_once_and_bring_the_centroids(tmp_path: Path, size: int) -> None:
    data = images(4)
    with writer(tmp_path / "p.h5") as target:
        target.centroids(np.eye(CLASSES, DIMENSIONS), "class means")
        target.add("test", **data)
    part = Predictions.open(tmp_path / "p.h5").part("test")
    assert part is not None
    blocks = list(part.blocks(size))
    assert all(len(block.logits) <= size for block in blocks)
    np.testing.assert_array_equal(torch.cat([block.logits for block in blocks]), data["logits"])
    np.testing.assert_array_equal(torch.cat([block.features for block in blocks]), data["features"])
    for block in blocks:
        assert block.centroids is not None
        np.testing.assert_array_equal(block.centroids, np.eye(CLASSES, DIMENSIONS))


def test_half_precision_is_stored_as_single(tmp_path: Path) -> None:
    data = images(2) | {"logits": torch.full((2, CLASSES), 0.5, dtype=torch.bfloat16, requires_grad=True)}
    with writer(tmp_path / "p.h5") as target:
        target.add("test", **data)
    part = Predictions.open(tmp_path / "p.h5").part("test")
    assert part is not None
    assert part.logits.tolist() == [[0.5] * CLASSES] * 2


@pytest.mark.parametrize(
    ("part", "change", "told"),
    [
        ("train", {}, "no part named 'train'"),
        ("test", {"logits": np.zeros((2, 4))}, "wanted (2, 5)"),
        ("test", {"ids": ["only one"]}, "ids (1,) of part test"),
        ("test", {"labels": np.array([0, CLASSES])}, "label 5 in part test"),
        ("test", {"labels": np.array([0, OPEN])}, "label -1 in part test"),
        ("open", {}, "in part open"),
    ],
)
def test_a_wrong_batch_is_named_and_nothing_is_stored(store: Path, part: str, change: Any, told: str) -> None:
    before = store.read_bytes()

    def written() -> None:
        with writer(store) as target:
            target.add("val", **images(2))
            target.add(part, **(images(2) | change))

    with pytest.raises(UserError) as raised:
        written()
    assert told in str(raised.value)
    assert store.read_bytes() == before
    assert list(store.parent.iterdir()) == [store]


def test_an_answer_that_is_not_finite_names_the_image(tmp_path: Path) -> None:
    data = images(3)
    data["logits"][1, 2] = np.nan
    with pytest.raises(RunError, match=r"ü/0/1\.png"), writer(tmp_path / "p.h5") as target:
        target.add("test", **data)
    assert not list(tmp_path.iterdir())


def test_facts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="4 class names for 5 classes"):
        writer(tmp_path / "p.h5", class_names=NAMES[:4])
    with pytest.raises(UserError, match="centroids"), writer(tmp_path / "p.h5") as target:
        target.centroids(np.zeros((CLASSES, DIMENSIONS + 1)), "memory")
    with pytest.raises(UserError, match="a head of"):
        writer(tmp_path / "p.h5", head=Head(torch.zeros(CLASSES, 2), torch.zeros(CLASSES)))

    def scored_wrongly() -> None:
        with writer(tmp_path / "p.h5") as target:
            target.add("test", **images(3))
            target.network_scores("test", "odd", {}, np.array([0.0, np.nan, 1.0]))

    with pytest.raises(RunError, match="scorer odd must give one finite number an image of the test set"):
        scored_wrongly()
    assert not list(tmp_path.iterdir())


def test_what_the_last_layer_acts_on_is_kept_beside_the_features(tmp_path: Path) -> None:
    head = Head(torch.randn(CLASSES, 4), torch.randn(CLASSES))
    data, inner = images(7), np.random.default_rng(1).normal(size=(7, 4)).astype(np.float32)
    with writer(tmp_path / "p.h5", head=head, penultimate_dim=4) as target:
        target.centroids(np.eye(CLASSES, DIMENSIONS), "class means")
        target.add("fit", **data, penultimate=inner)
    read = Predictions.open(tmp_path / "p.h5")
    part = read.part("fit")
    assert part is not None
    assert read.head is not None
    assert torch.equal(read.head.weight, head.weight)
    assert torch.equal(read.head.bias, head.bias)
    found = list(part.labelled(3, penultimate=True))
    np.testing.assert_array_equal(torch.cat([outputs.features for outputs, _ in found]), inner)
    np.testing.assert_array_equal(torch.cat([labels for _, labels in found]), data["labels"])
    assert all(outputs.centroids is None for outputs, _ in found)
    plain = list(part.labelled(3))
    np.testing.assert_array_equal(torch.cat([outputs.features for outputs, _ in plain]), data["features"])


def test_scores_of_the_network_are_found_by_scorer_and_options(tmp_path: Path) -> None:
    with writer(tmp_path / "p.h5") as target:
        target.add("test", **images(3))
        target.network_scores("test", "odin", {"epsilon": 0.1, "std": (1, 2)}, torch.tensor([3.0, 1.0, 2.0]))
    part = Predictions.open(tmp_path / "p.h5").part("test")
    assert part is not None
    kept = part.network_scores("odin", {"epsilon": 0.1, "std": [1, 2]})
    assert kept is not None
    assert kept.tolist() == [3, 1, 2]
    assert part.network_scores("odin", {"epsilon": 0.2}) is None
    assert part.network_scores("other", {}) is None


def test_a_stream_keeps_the_first_failure_to_itself() -> None:
    with Stream(Path("/dev/full"), "r+") as stream:
        assert stream.write(b"abc") == 3
        with pytest.raises(OSError, match="No space left") as raised:
            stream.check()
    assert raised.value.errno == errno.ENOSPC


def test_a_stream_reads_what_the_disk_refused(tmp_path: Path) -> None:
    with Stream(tmp_path / "file", "x+") as stream:
        stream.write(b"0123")
        stream.failure = OSError(errno.ENOSPC, "No space left on device")
        for place, data in ((3, b"abc"), (5, b"CD")):
            stream.seek(place)
            assert stream.write(data) == len(data)
        stream.seek(2)
        read = bytearray(6)
        assert stream.readinto(read) == 6
    assert read == b"2abCD\0"
    assert (tmp_path / "file").read_bytes() == b"0123"


@pytest.mark.parametrize("room", [0, 2_000, 300_000])
def test_a_full_disk_is_told_and_the_older_store_stays(store: Path, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class SmallDisk(Stream):
        def write(self, data: Any) -> int:
            if self.tell() + len(data) > room and self.failure is None:
                self.failure = OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    before = store.read_bytes()
    monkeypatch.setattr(oltr.hdf5, "Stream", SmallDisk)

    def written() -> None:
        with writer(store) as target:
            for seed in range(40):
                target.add("test", **images(2_000, seed=seed))

    with pytest.raises(RunError, match="no space left"):
        written()
    assert store.read_bytes() == before
    assert list(store.parent.iterdir()) == [store]


def test_a_damaged_store_is_told(store: Path, tmp_path: Path) -> None:
    whole = store.read_bytes()
    broken = tmp_path / "broken.h5"
    for content in (b"", b"not HDF5", whole[: len(whole) // 2], whole[:-1]):
        broken.write_bytes(content)
        with pytest.raises(UserError, match=r"broken\.h5 is damaged"):
            Predictions.open(broken)
    with pytest.raises(UserError, match="no predictions at"):
        Predictions.open(tmp_path / "absent.h5")


def test_a_flipped_bit_in_the_logits_is_found(store: Path) -> None:
    logits = images(4, seed=4)["logits"].tobytes()
    content = bytearray(store.read_bytes())
    content[content.index(logits) + 5] ^= 1
    store.write_bytes(content)
    part = Predictions.open(store).part("test")
    assert part is not None
    with pytest.raises(UserError, match="damaged"):
        part.logits  # noqa: B018


def test_export_is_what_the_original_wrote(store: Path, tmp_path: Path) -> None:
    closed, opened = export_npz(Predictions.open(store), tmp_path / "npz")
    known, unknown = images(4, seed=4), images(2, seed=5, unknown=True)
    assert (closed.name, opened.name) == ("logits_close.npz", "logits_open.npz")
    for path, parts in ((closed, [known]), (opened, [known, unknown])):
        with np.load(path) as arrays:  # no pickle needed
            assert set(arrays) == {"logits", "labels", "paths"}
            for key, source in (("logits", "logits"), ("labels", "labels"), ("paths", "ids")):
                np.testing.assert_array_equal(arrays[key], np.concatenate([part[source] for part in parts]))


def test_export_without_an_open_set(tmp_path: Path) -> None:
    with writer(tmp_path / "p.h5") as target:
        target.add("test", **images(2))
    assert [path.name for path in export_npz(Predictions.open(tmp_path / "p.h5"), tmp_path)] == ["logits_close.npz"]
    with writer(tmp_path / "p.h5") as target:
        target.add("val", **images(2))
    with pytest.raises(UserError, match="no test set"):
        export_npz(Predictions.open(tmp_path / "p.h5"), tmp_path)


def test_a_store_without_features(tmp_path: Path) -> None:
    """Another program's logits come without any."""
    known, unknown = images(5), images(2, seed=1, unknown=True)
    empty = {"features": np.empty((5, 0), np.float32)}
    with writer(tmp_path / "p.h5", feature_dim=0) as target:
        target.add("test", **(known | empty))
        target.add("open", **(unknown | {"features": torch.empty(2, 0)}))
        with pytest.raises(UserError, match=r"features \(5, 3\) of part test, wanted \(5, 0\)"):
            target.add("test", **known)
    stored = Predictions.open(tmp_path / "p.h5")
    assert stored.feature_dim == 0
    assert stored.part("val") is None
    part = stored.part("test")
    assert part is not None
    assert part.features.shape == (5, 0)
    assert np.array_equal(part.logits, known["logits"])
    assert part.ids == known["ids"]
    blocks = list(part.blocks(3))
    assert [tuple(block.features.shape) for block in blocks] == [(3, 0), (2, 0)]
    assert torch.equal(torch.cat([block.logits for block in blocks]), torch.from_numpy(known["logits"]))


def test_a_store_tells_the_width_of_its_features(store: Path) -> None:
    assert Predictions.open(store).feature_dim == DIMENSIONS
