from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oltr.contracts import OPEN, UserError
from oltr.data import list_file
from oltr.data.image_list import ImageList
from oltr.data.imagenet_lt import ImageNetLT
from oltr.data.list_file import read_list
from oltr.data.places_lt import PlacesLT

LISTS = {
    "train": "train/a dir/0.jpg 0\ntrain/1.jpg 2\r\ntrain/2.jpg\t2\n",
    "val": "val/0.jpg 1\n",
    "test": "test/0.jpg 0\ntest/1.jpg 2",
    "open": "open/0.jpg 1000\nopen/1.jpg -7\nopen/2.jpg cat\n",
}


def write(root: Path, name: str = "Mine", below: str = "", images: str = "", **changes: str | None) -> Path:
    for split, text in {**LISTS, **changes}.items():
        if text is None:
            continue
        folder = root / below
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}_{split}.txt").write_bytes(text.encode())
        lines_with_image = [line for line in text.splitlines() if split in LISTS and " " in line.replace("\t", " ")]
        for number, line in enumerate(lines_with_image):
            path = root / images / line.rsplit(None, 1)[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (6, 5), (40 * number, 200, 10)).save(path, quality=95)
    return root


@pytest.mark.parametrize("below", ["", "Mine", "data/Mine"])
@pytest.mark.parametrize("images", ["", "Mine"])
def test_lists_and_images_are_found_in_the_places_of_the_original(tmp_path: Path, below: str, images: str) -> None:
    splits = ImageList(root=write(tmp_path, below=below, images=images), list_name="Mine").splits()
    assert list(splits.train.ids) == ["train/a dir/0.jpg", "train/1.jpg", "train/2.jpg"]
    assert splits.train_counts.tolist() == [1, 0, 2]
    assert splits.class_names == ("0", "1", "2")
    assert splits.test.labels.tolist() == [0, 2]
    assert splits.open is not None
    assert splits.open.labels.tolist() == [OPEN] * 3
    first, last = splits.train.read([0, 2])
    assert first.shape == (3, 5, 6)
    assert abs(int(last[0, 2, 3]) - 80) < 6
    assert abs(int(first[0, 2, 3])) < 6


def test_places_and_names_can_be_given(tmp_path: Path) -> None:
    write(tmp_path, below="lists", images="pictures", classes="cat\ndog\nowl\n", open=None)
    data = ImageList(root=tmp_path, list_name="Mine", lists="lists", images="pictures")
    splits = data.splits()
    assert splits.class_names == ("cat", "dog", "owl")
    assert splits.open is None
    assert splits.val.read([0])[0].shape == (3, 5, 6)
    assert data.check().ok
    assert any("Mine_open.txt: not there, so there is no open-set evaluation" in line for line in data.check().lines)
    (tmp_path / "lists" / "Mine_classes.txt").write_text("cat\ndog\n")
    with pytest.raises(UserError, match=r"Mine_classes.txt names 2 classes, but the train list has labels up to 2"):
        data.splits()
    assert not data.check().ok


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": "a.jpg 0\nb.jpg\n"}, r"Mine_train.txt:2: a line is `path label`, not 'b.jpg'"),
        ({"train": "a.jpg 0\n\nb.jpg 1\n"}, r"Mine_train.txt:2: a line is `path label`, not ''"),
        ({"train": "a.jpg 0\nb.jpg x\n"}, r"Mine_train.txt:2: a label is a class index, not 'x'"),
        ({"train": "a.jpg 0\nb.jpg -1\n"}, r"Mine_train.txt:2: a label is a class index, not '-1'"),
        ({"train": "a.jpg 0\nb.jpg 99999999999999999999\n"}, r"Mine_train.txt:2: a label is a class index"),
        ({"train": "a.jpg 0\nb.jpg 2000000000\n"}, r"Mine_train.txt:2: a label is a class index"),
        ({"train": "a.jpg 0\nb.jpg 1\na.jpg 1\n"}, r"Mine_train.txt:3: the image is listed a second time"),
        ({"train": "\n"}, r"Mine_train.txt is empty"),
        (
            {"val": "val/0.jpg 0\nval/1.jpg 3\n"},
            r"Mine_val.txt:2: a label is from 0 to 2, as in the train list, not '3'",
        ),
    ],
)
def test_a_wrong_line_is_named_with_its_number(tmp_path: Path, change: dict[str, str], message: str) -> None:
    data = ImageList(root=write(tmp_path, **(LISTS | change)), list_name="Mine")
    with pytest.raises(UserError, match=message):
        data.splits()
    checked = data.check()
    assert not checked.ok
    assert any("Mine_" in line and ":" in line for line in checked.lines)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--data-root"):
        ImageNetLT(root=None).splits()
    write(tmp_path, name="Other")
    with pytest.raises(UserError, match=r"no Mine_train.txt in .*Mine or .*found there: list_name Other"):
        ImageList(root=tmp_path, list_name="Mine").splits()
    write(tmp_path, test=None)
    data = ImageList(root=tmp_path, list_name="Mine")
    with pytest.raises(UserError, match=r"no Mine_test.txt in"):
        data.splits()
    (tmp_path / "train" / "1.jpg").unlink()
    checked = data.check()
    assert not checked.ok
    assert any(line.startswith("Mine_test.txt: MISSING, needed") for line in checked.lines)
    assert "Mine_train.txt: 1 of 3 images are missing, first train/1.jpg" in checked.lines
    write(tmp_path)
    train = data.splits().train
    (tmp_path / "train" / "1.jpg").unlink()
    with pytest.raises(UserError, match=r"1.jpg \(.*Mine_train.txt:2\): there is no such file"):
        train.read([1])


def lines(split: str, counts: list[int]) -> str:
    return "".join(
        f"{split}/{label}/{index}.jpg {label}\n" for label, count in enumerate(counts) for index in range(count)
    )


def test_check_compares_with_the_published_facts(tmp_path: Path) -> None:
    counts = [4980, *[158] * 363, 0]
    counts[364] = 62_500 - sum(counts)
    counts[363] += counts[364] - 5
    counts[364] = 5
    for split, each in {"val": [20] * 365, "test": [100] * 365, "open": [66] * 100, "train": counts}.items():
        (tmp_path / f"Places_LT_{split}.txt").write_text(lines(split, each))
    checked = PlacesLT(root=tmp_path).check()
    assert not checked.ok  # no image is there
    shown = [line for line in checked.lines if "published" in line]
    assert [line.rsplit(", ", 1)[1] for line in shown] == ["as published"] * 4
    assert "62,500 images of 365 classes, 4,980 to 5 a class" in shown[0]
    assert sum("images are missing" in line for line in checked.lines) == 4
    (tmp_path / "Places_LT_val.txt").write_text(lines("val", [20] * 364))
    assert any(
        "7,280 images" in line and "published are 7,300" in line for line in PlacesLT(root=tmp_path).check().lines
    )


def test_the_manifest_tells_lists_apart_and_not_their_place(tmp_path: Path) -> None:
    here, there = (ImageList(root=write(tmp_path / place), list_name="Mine").splits() for place in ("a", "b"))
    assert here.manifest == there.manifest
    write(tmp_path / "b", val="val/0.jpg 2\n")
    changed = ImageList(root=tmp_path / "b", list_name="Mine").splits().manifest
    assert changed["sha256"] != here.manifest["sha256"]
    assert changed["lists"]["train"] == here.manifest["lists"]["train"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("block", [1, 20, 45, 10_000])
def test_a_list_is_read_in_blocks_as_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, end: str
) -> None:
    monkeypatch.setattr(list_file, "_BLOCK", block)
    path = tmp_path / "long.txt"
    names = [f"ä b/{'x' * (index % 7)}{index}.jpg" for index in range(60)]
    lines = [f"{name} {index % 5}" for index, name in enumerate(names)]
    path.write_bytes(f"{end.join(lines)}{end}{end}".encode())
    listed = read_list(path)
    assert list(listed.paths) == names
    assert listed.labels.tolist() == [index % 5 for index in range(60)]
    assert listed.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for place, wrong in ((37, "a.jpg"), (40, "a.jpg x"), (59, lines[2])):
        path.write_text("\n".join([*lines[:place], wrong, *lines[place + 1 :]]))
        with pytest.raises(UserError, match=rf"long.txt:{place + 1}: "):
            read_list(path)
    path.write_text("\n".join(lines))
    monkeypatch.setattr("oltr.data.image_files._SHORT", 100)
    assert read_list(path).paths._ends.dtype == np.int64
    monkeypatch.undo()
    assert listed.paths._ends.dtype == np.uint32
    monkeypatch.setattr(list_file, "hash", lambda name: 0, raising=False)
    assert list(read_list(path).paths) == names, "names of one hash are not one name"


def test_a_list_costs_sixteen_bytes_an_image_beside_its_path(tmp_path: Path) -> None:
    path = tmp_path / "big_train.txt"
    path.write_text(lines("train", [100] * 50))
    listed = read_list(path)
    parts = vars(listed.paths).values()
    held = listed.labels.nbytes + sum(part.nbytes if isinstance(part, np.ndarray) else len(part) for part in parts)
    assert held <= sum(map(len, listed.paths)) + 16 * len(listed.paths) + 8


def test_classes_beyond_the_labels_are_empty_and_part_of_the_split(tmp_path: Path) -> None:
    plain, more, same = (
        ImageList(root=write(tmp_path), list_name="Mine", num_classes=number).splits() for number in (None, 5, 3)
    )
    assert more.train_counts.tolist() == [1, 0, 2, 0, 0]
    assert more.class_names == ("0", "1", "2", "3", "4")
    assert same.manifest == plain.manifest
    assert more.manifest["sha256"] != plain.manifest["sha256"]
    assert more.manifest["options"] == {"list_name": "Mine", "num_classes": 5}
    write(tmp_path, val="val/0.jpg 4\n")
    assert ImageList(root=tmp_path, list_name="Mine", num_classes=5).splits().val.labels.tolist() == [4]
    assert ImageList(root=tmp_path, list_name="Mine", num_classes=5).check().ok
    too_few = ImageList(root=tmp_path, list_name="Mine", num_classes=2)
    with pytest.raises(UserError, match=r"Mine_train.txt: labels up to 2, so 3 classes, not 2"):
        too_few.splits()
    assert not too_few.check().ok


def test_far_and_open_validation_lists_are_read_where_there_are_any(tmp_path: Path) -> None:
    plain = ImageList(root=write(tmp_path), list_name="Mine").splits()
    assert plain.far is plain.open_val is None
    data = ImageList(root=write(tmp_path, far="far/0.jpg 5\nfar/1.jpg x\n", open_val="val/0.jpg 9\n"), list_name="Mine")
    assert not data.check().ok
    assert any("Mine_far.txt: 2 of 2 images are missing" in line for line in data.check().lines)
    for name in ("far/0.jpg", "far/1.jpg"):  # beside the lists, as open images may be
        path = tmp_path / "Mine_far" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)
    splits = data.splits()
    assert splits.far is not None
    assert splits.open_val is not None
    assert splits.far.labels.tolist() == [OPEN, OPEN]
    assert splits.far.read([1])[0].shape == (3, 4, 4)
    assert list(splits.open_val.ids) == ["val/0.jpg"]
    assert splits.manifest["sha256"] != plain.manifest["sha256"]
    assert data.check().ok
    for shared in ("open/1.jpg", "far/0.jpg", "test/0.jpg"):
        write(tmp_path, far="far/0.jpg 5\n", open_val=f"val/0.jpg 1\n{shared} 1\n")
        with pytest.raises(
            UserError, match=f"Mine_open_val.txt: 1 of its images are tested on as well, first {shared}"
        ):
            data.splits()


def test_lists_may_lie_below_the_working_directory_and_open_images_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layout of the original: lists in ./data/Mine, open images in ./data/Mine/Mine_open, all others elsewhere."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, below="data/Mine", images="elsewhere")
    beside = tmp_path / "data" / "Mine" / "Mine_open" / "open" / "0.jpg"
    beside.parent.mkdir(parents=True)
    Image.new("RGB", (3, 2), (9, 9, 9)).save(beside)
    splits = ImageList(root=Path("elsewhere"), list_name="Mine", lists="./data/Mine").splits()
    assert splits.open is not None
    assert splits.open.read([0])[0].shape == (3, 2, 3)
    assert splits.train.read([0])[0].shape == (3, 5, 6)
    beside.unlink()  # then they are looked for where the others are
    splits = ImageList(root=Path("elsewhere"), list_name="Mine", lists="./data/Mine").splits()
    assert splits.open is not None
    assert splits.open.read([0])[0].shape == (3, 5, 6)
