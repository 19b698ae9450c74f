from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oltr.contracts import OPEN, UserError
from oltr.data.image_folder import ImageFolder


def write(place: Path, counts: dict[str, int], colour: int = 0) -> None:
    for name, count in counts.items():
        (place / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (3, 3), (colour, index, 0)).save(place / name / f"{index}.png")


def test_folders_that_are_there_are_taken_as_they_are(tmp_path: Path) -> None:
    write(tmp_path / "train", {"cat": 9, "dog": 4, "owl": 1})
    (tmp_path / "train" / "cat" / "._0.png").write_bytes(b"no image")
    (tmp_path / "train" / "cat" / "notes.txt").write_bytes(b"no image")
    write(tmp_path / "val", {"cat": 1, "owl": 1})
    write(tmp_path / "test", {"cat": 2, "dog": 2, "owl": 2}, colour=200)
    write(tmp_path / "open", {"ape": 2, "bee": 1}, colour=99)
    data = ImageFolder(root=tmp_path)
    splits = data.splits()
    assert splits.class_names == ("cat", "dog", "owl")
    assert splits.train_counts.tolist() == [9, 4, 1]
    assert splits.val.labels.tolist() == [0, 2]
    assert list(splits.test.ids)[:2] == ["test/cat/0.png", "test/cat/1.png"]
    assert splits.test.read([1])[0][:, 0, 0].tolist() == [200, 1, 0]
    assert splits.open is not None
    assert splits.open.labels.tolist() == [OPEN] * 3
    assert splits.open.read([2])[0][0, 0, 0] == 99
    assert data.check().ok
    with pytest.raises(UserError, match=r"the open set is either .* or open_classes, not both"):
        ImageFolder(root=tmp_path, open_classes=1).splits()


def test_a_folder_of_classes_is_cut_to_all_four_sets(tmp_path: Path) -> None:
    write(tmp_path / "set", dict.fromkeys(("ant", "bee", "cow", "train"), 30))
    data = ImageFolder(
        root=tmp_path, folder="set", imbalance_factor=10, open_classes=[1], val_per_class=4, test_per_class=6
    )
    splits = data.splits()
    assert splits.class_names == ("ant", "cow", "train")
    assert splits.train_counts.tolist() == [20, 6, 2]
    assert np.bincount(splits.val.labels).tolist() == [4] * 3
    assert np.bincount(splits.test.labels).tolist() == [6] * 3
    assert splits.open is not None
    assert all(name.startswith("bee/") for name in splits.open.ids)
    everything = [*splits.train.ids, *splits.val.ids, *splits.test.ids, *splits.open.ids]
    assert len(set(everything)) == len(everything) == 28 + 12 + 18 + 6
    for images in (splits.train, splits.val, splits.test):
        assert [name.split("/")[0] for name in images.ids] == [splits.class_names[label] for label in images.labels]
    (tmp_path / "moved").mkdir()
    (tmp_path / "set").rename(tmp_path / "moved" / "set")
    moved = ImageFolder(
        root=tmp_path / "moved" / "set", imbalance_factor=10, open_classes=[1], val_per_class=4, test_per_class=6
    )
    assert moved.splits().manifest == splits.manifest


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--data-root"):
        ImageFolder(root=None).splits()
    with pytest.raises(UserError, match="nowhere is not a folder"):
        ImageFolder(root=tmp_path, folder="nowhere").splits()
    with pytest.raises(UserError, match="has no folders: one a class is needed"):
        ImageFolder(root=tmp_path).splits()
    write(tmp_path / "train", {"cat": 30, "dog": 30})
    with pytest.raises(UserError, match="there are no test images: set test_per_class, or give a folder"):
        ImageFolder(root=tmp_path).splits()
    assert ImageFolder(root=tmp_path, test_per_class=3).splits().train_counts.tolist() == [25, 25]
    write(tmp_path / "test", {"cats": 1})
    with pytest.raises(UserError, match=r"test/cats is a class that is not among .*did you mean cat\?"):
        ImageFolder(root=tmp_path).splits()
    assert not ImageFolder(root=tmp_path).check().ok
    (tmp_path / "open").mkdir()
    (tmp_path / "test" / "cats").rename(tmp_path / "test" / "cat")
    with pytest.raises(UserError, match="open has no images"):
        ImageFolder(root=tmp_path).splits()
