from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from oltr.contracts import UserError
from oltr.data.fashion_mnist import FashionMnistLT, read_idx

INSTALLED = Path("/usr/share/datasets")


def idx(array: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, dtype=">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


def write(folder: Path, packed: bool) -> np.ndarray:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(1).integers(0, 256, (200, 28, 28))
    arrays = {
        "train-images-idx3": pixels,
        "train-labels-idx1": np.tile(np.arange(10), 20),
        "t10k-images-idx3": pixels[:30],
        "t10k-labels-idx1": np.tile(np.arange(10), 3),
    }
    for name, array in arrays.items():
        path = folder / f"{name}-ubyte{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    return pixels


@pytest.mark.parametrize(("place", "packed"), [("", True), ("FashionMNIST/raw", False), ("fashion-mnist", True)])
def test_grey_images_are_padded_and_read_as_rgb(tmp_path: Path, place: str, packed: bool) -> None:
    pixels = write(tmp_path / place, packed)
    splits = FashionMnistLT(root=tmp_path, imbalance_factor=10, val_per_class=2, image_size=32).splits()
    assert splits.train_counts[[0, 9]].tolist() == [20, 2]
    source = int(splits.train.ids[-1].removeprefix("train/"))
    want = np.zeros((3, 32, 32))
    want[:, 2:30, 2:30] = pixels[source]
    assert np.array_equal(splits.train.read([-1])[0].numpy(), want)
    assert splits.train.labels[-1] == source % 10
    assert splits.class_names[9] == "Ankle boot"


def test_packing_makes_no_other_manifest_but_size_does(tmp_path: Path) -> None:
    write(tmp_path / "a", packed=True)
    write(tmp_path / "b", packed=False)
    options = {"imbalance_factor": 10.0, "val_per_class": 2}
    first, second = (FashionMnistLT(root=tmp_path / name, **options).splits().manifest for name in "ab")
    assert first == second
    padded = FashionMnistLT(root=tmp_path / "a", **options, image_size=32).splits().manifest
    assert padded["sha256"] != first["sha256"]
    assert padded["indices"] == first["indices"]


def test_damaged_files_are_named(tmp_path: Path) -> None:
    write(tmp_path, packed=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = gzip.decompress(path.read_bytes())
    for text, message in [
        (path.read_bytes()[:500], "cannot be read"),
        (b"not packed", "cannot be read"),
        (gzip.compress(whole[:-1]), "cut short or damaged"),
        (gzip.compress(whole + b"x"), "cut short or damaged"),
        (gzip.compress(b"\0\0\x0d\3" + whole[4:]), "is no idx file of bytes"),
        (gzip.compress(b""), "is no idx file of bytes"),
        (gzip.compress(idx(np.zeros((3, 28, 28)))), r"\(3, 28, 28\) and .*\(200,\): not one set"),
    ]:
        path.write_bytes(text)
        with pytest.raises(UserError, match=rf"train-images-idx3-ubyte.gz.*{message}"):
            FashionMnistLT(root=tmp_path).splits()
    with pytest.raises(UserError, match="image_size is 28 or more"):
        FashionMnistLT(root=tmp_path, image_size=27)


def test_idx_files_of_any_rank(tmp_path: Path) -> None:
    for shape in [(4,), (2, 3), (2, 3, 4)]:
        array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        (tmp_path / "file").write_bytes(idx(array))
        assert np.array_equal(read_idx(tmp_path / "file"), array)


@pytest.mark.skipif(
    not (INSTALLED / "fashion-mnist").is_dir(), reason="the package dataset-fashion-mnist is not installed"
)
def test_the_published_files_are_as_published() -> None:
    data = FashionMnistLT(root=INSTALLED)
    checked = data.check()
    assert checked.ok, checked.lines
    assert "train: 60,000 images, as published" in checked.lines
    splits = data.splits()
    assert splits.train_counts.tolist() == [int(6000 * 0.01 ** (k / 9)) for k in range(10)]
    assert np.bincount(splits.val.labels).tolist() == [0, *[240] * 9]
