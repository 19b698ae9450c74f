from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from oltr.contracts import OPEN, UserError
from oltr.data.cifar import Cifar10LT, Cifar100LT

RANDOM = np.random.default_rng(5)
NAMES10 = [f"name{index}".encode() for index in range(10)]


def python2_batch(pixels: np.ndarray, labels: list[int], key: bytes) -> bytes:
    """A batch as Python 2 wrote those that are published: byte strings, numpy.core, protocol 2."""

    def short(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text

    dtype = (
        b"cnumpy\ndtype\n("
        + short(b"u1")
        + b"K\x00K\x01tR(K\x03"
        + short(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    shape = b"(M" + struct.pack("<H", len(pixels)) + b"M\x00\x0ct"
    text = b"T" + struct.pack("<i", pixels.size) + pixels.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01"
        + shape
        + dtype
        + b"\x89"
        + text
        + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + short(b"data") + array + short(key) + numbers + b"u."


def write_cifar10(root: Path, each: int = 20, test_each: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Half of the batches as Python 2 wrote them, half as Python 3 does."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    labels = RANDOM.permutation(np.repeat(np.arange(10), each))
    pixels = RANDOM.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    for index, (part, numbers) in enumerate(zip(np.split(pixels, 5), np.split(labels, 5), strict=True), 1):
        batch = {b"data": part, b"labels": numbers.tolist(), b"filenames": [b"x.png"] * len(part)}
        old = python2_batch(part, numbers.tolist(), b"labels")
        (folder / f"data_batch_{index}").write_bytes(old if index % 2 else pickle.dumps(batch, 2))
    test_labels = np.tile(np.arange(10), test_each)
    test_pixels = np.repeat(test_labels.astype(np.uint8)[:, None], 3072, axis=1)
    (folder / "test_batch").write_bytes(python2_batch(test_pixels, test_labels.tolist(), b"labels"))
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": NAMES10}, 2))
    return pixels, labels


def test_the_images_are_those_of_the_files(tmp_path: Path) -> None:
    pixels, labels = write_cifar10(tmp_path)
    splits = Cifar10LT(root=tmp_path, imbalance_factor=10, val_per_class=2).splits()
    assert splits.train_counts.tolist() == [int(20 * 0.1 ** (k / 9)) for k in range(10)]
    for images in (splits.train, splits.val):
        sources = [int(name.removeprefix("train/")) for name in images.ids]
        assert np.array_equal(np.stack(images.read(range(len(sources)))), pixels[sources].reshape(-1, 3, 32, 32))
        assert images.labels.tolist() == labels[sources].tolist()
    assert not set(splits.train.ids) & set(splits.val.ids)
    assert splits.open is None
    assert splits.class_names == tuple(name.decode() for name in NAMES10)


def test_held_out_classes_are_the_open_set(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    splits = Cifar10LT(root=tmp_path / "cifar-10-batches-py", imbalance_factor=10, open_classes=[0, 4]).splits()
    assert splits.open is not None
    assert splits.open.labels.tolist() == [OPEN] * 6
    assert {int(image[0, 0, 0]) for image in splits.open.read(range(6))} == {0, 4}
    shown = [int(image[0, 0, 0]) for image in splits.test.read(range(24))]
    assert [splits.class_names[label] for label in splits.test.labels] == [f"name{value}" for value in shown]
    assert len(splits.class_names) == 8


def test_the_same_spec_gives_the_same_manifest(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "a")
    write_cifar10(tmp_path / "b")
    spec = {"imbalance_factor": 10, "open_classes": 2, "index_rule": "own"}
    manifest = Cifar10LT(root=tmp_path / "a", **spec).splits().manifest
    held_out = manifest["options"]["open_classes"]
    assert len(held_out) == 2
    again = (
        Cifar10LT(root=tmp_path / "a", imbalance_factor=10.0, open_classes=held_out, index_rule="own").splits().manifest
    )
    assert again == manifest
    others = [Cifar10LT(root=tmp_path / "a", **spec, seed=1), Cifar10LT(root=tmp_path / "b", **spec)]
    assert len({manifest["sha256"], *(data.splits().manifest["sha256"] for data in others)}) == 3
    assert manifest["images"]["open"] == 6


def test_cifar100_reads_fine_labels(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name, each in (("train", 10), ("test", 1)):
        labels = np.tile(np.arange(100), each)
        pixels = np.repeat(labels.astype(np.uint8)[:, None], 3072, axis=1)
        batch = {b"data": pixels, b"fine_labels": labels.tolist(), b"coarse_labels": [0] * len(labels)}
        (folder / name).write_bytes(pickle.dumps(batch, 2))
    (folder / "meta").write_bytes(pickle.dumps({b"fine_label_names": [b"%d" % index for index in range(100)]}, 2))
    splits = Cifar100LT(root=tmp_path, imbalance_factor=5, val_per_class=1).splits()
    assert splits.train_counts[[0, 99]].tolist() == [10, 2]
    assert [int(image[0, 0, 0]) for image in splits.train.read([0, 10, -1])] == [0, 1, 99]
    checked = Cifar100LT(root=tmp_path, imbalance_factor=5, val_per_class=1).check()
    assert not checked.ok
    assert any("train: 1,000 images; published are 50,000" in line for line in checked.lines)


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="CIFAR-100 lies in files of yours: say where with --data-root"):
        Cifar100LT(root=None).check()
    pixels, _ = write_cifar10(tmp_path)
    data = Cifar10LT(root=tmp_path, imbalance_factor=1)
    with pytest.raises(UserError, match="none is left for validation: set reserve_val: true"):
        data.splits()
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    for broken, message in [
        ({b"data": pixels[:2], b"labels": [1]}, r"shape \(2, 3072\) for 1 labels"),
        ({b"data": pixels[:1], b"labels": [10]}, "labels that are not from 0 to 9"),
        ({b"data": pixels[:1], b"labels": ["x"]}, "its values are no numbers"),
        ({b"data": pixels[:1]}, "lacks data, labels"),
        ([], "lacks data, labels"),
    ]:
        batch.write_bytes(pickle.dumps(broken, 2))
        with pytest.raises(UserError, match=rf"data_batch_3.*{message}"):
            data.splits()
        assert not data.check().ok
    batch.unlink()
    with pytest.raises(UserError, match="CIFAR-10 needs data_batch_3, which is not in"):
        data.splits()
    assert "data_batch_3: MISSING, needed" in data.check().lines
