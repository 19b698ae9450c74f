from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from oltr.contracts import UserError
from oltr.data import image_files
from oltr.data.image_files import ImageFiles, Paths, decode
from oltr.data.image_list import ImageList

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


@pytest.fixture(params=["torchvision", "pillow"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pillow":
        monkeypatch.setattr(image_files, "_decode_quickly", None)


@pytest.mark.usefixtures("decoder")
def test_every_kind_of_file_is_read_as_rgb() -> None:
    picture = Image.fromarray(PIXELS)
    want = torch.from_numpy(PIXELS).permute(2, 0, 1)
    for kind in ("PNG", "BMP", "TIFF"):
        assert torch.equal(decode(encoded(picture, kind)), want)
    grey = decode(encoded(picture.convert("L"), "PNG"))
    assert torch.equal(grey, torch.from_numpy(np.array(picture.convert("L"))).expand(3, -1, -1))
    clear = picture.convert("RGBA")
    clear.putalpha(0)
    assert torch.equal(decode(encoded(clear, "PNG")), want)
    jpeg = encoded(picture, "JPEG", quality=90)
    assert (
        decode(jpeg).int() - torch.from_numpy(np.array(Image.open(io.BytesIO(jpeg)))).permute(2, 0, 1)
    ).abs().max() <= 2
    cmyk = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert cmyk.shape == (3, 8, 8)
    assert cmyk.float().mean((1, 2)).tolist() == pytest.approx([254, 0, 0], abs=6)


@pytest.mark.parametrize("options", [{"quality": 92}, {"quality": 75, "progressive": True}, {"subsampling": 0}])
def test_a_photograph_is_what_pillow_makes_of_it(options: dict[str, int]) -> None:
    """Both libraries may round the colours' transform in their own way."""
    soft = Image.fromarray(np.random.default_rng(0).integers(256, size=(6, 8, 3), dtype=np.uint8))
    stored = io.BytesIO()
    soft.resize((83, 61), Image.Resampling.BICUBIC).save(stored, "JPEG", **options)
    plain = torch.from_numpy(np.array(Image.open(stored).convert("RGB"))).permute(2, 0, 1)
    found = decode(stored.getvalue())
    assert found.shape == plain.shape
    assert int((found.int() - plain.int()).abs().max()) <= 2


def test_sixteen_bit_images_keep_their_scale() -> None:
    values = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    image = decode(encoded(Image.fromarray(values), "PNG"))
    assert image.dtype == torch.uint8
    assert image[:, 0].tolist() == [[0, 100, 255]] * 3


def test_an_animation_is_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    image = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert image[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.usefixtures("decoder")
def test_files_that_cannot_be_read_are_named_with_their_line(tmp_path: Path) -> None:
    jpeg = encoded(Image.fromarray(PIXELS).resize((90, 70)), "JPEG")
    (tmp_path / "whole.jpg").write_bytes(jpeg)
    (tmp_path / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "words.jpg").write_bytes(b"no image at all")
    (tmp_path / "folder.jpg").mkdir()
    names = ["whole.jpg", "cut.jpg", "empty.jpg", "words.jpg", "folder.jpg", "gone.jpg"]
    images = ImageFiles(
        folder=tmp_path,
        ids=Paths([name.encode() for name in names]),
        labels=np.zeros(6),
        list_file=Path("my_train.txt"),
    )
    assert images.read([0])[0].shape == (3, 70, 90)
    for index, reason in [(1, "truncated"), (2, "no image"), (3, "no image"), (4, "directory"), (5, "no such file")]:
        with pytest.raises(UserError, match=rf"{names[index]} \(my_train.txt:{index + 1}\): .*{reason}") as caught:
            images.read([0, index])
        assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("decoder")
def test_threads_read_the_same_in_order_and_name_the_first_that_is_broken(tmp_path: Path) -> None:
    names = [f"{index}.jpg" for index in range(12)]
    for index, name in enumerate(names):
        (tmp_path / name).write_bytes(encoded(Image.fromarray(np.roll(PIXELS, index, 0)).resize((20, 20)), "JPEG"))
    images = ImageFiles(folder=tmp_path, ids=Paths([name.encode() for name in names]), labels=np.zeros(12))
    order = [7, 0, 11, 7, 3, 4, 5]
    torch.set_num_threads(1)
    one_by_one = images.read(order)
    torch.set_num_threads(3)
    assert all(map(torch.equal, images.read(order), one_by_one))
    for broken in (4, 11):
        (tmp_path / names[broken]).write_bytes(b"no image")
    with pytest.raises(UserError, match=r"11\.jpg: it is no image"):
        images.read(order)


def test_paths_are_a_sequence_of_any_names() -> None:
    names = ["a", "", "mit Umlaut ä.jpg", "b c/d.png"]
    paths = Paths([name.encode() for name in names])
    assert list(paths) == names
    assert paths[-1] == names[-1]
    assert paths[1:3] == names[1:3]
    assert paths.index("b c/d.png") == 3
    assert list(pickle.loads(pickle.dumps(paths))) == names
    assert Paths([b"\xff.jpg"])[0].encode("utf-8", "surrogateescape") == b"\xff.jpg"
    with pytest.raises(IndexError):
        paths[4]


def test_take_keeps_the_chosen_files(tmp_path: Path) -> None:
    for name, colour in (("r.png", "red"), ("g.png", "lime"), ("b.png", "blue")):
        Image.new("RGB", (2, 2), colour).save(tmp_path / name)
    images = ImageFiles(folder=tmp_path, ids=Paths([b"r.png", b"g.png", b"b.png"]), labels=np.arange(3))
    taken = images.take(np.array([2, 0]), np.array([5, 6]))
    assert [image[:, 0, 0].tolist() for image in taken.read([0, 1])] == [[0, 0, 255], [255, 0, 0]]
    assert list(taken.ids) == ["b.png", "r.png"]
    assert taken.labels.tolist() == [5, 6]


def test_a_fingerprint_tells_places_and_changed_files_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (2, 2), "red").save(tmp_path / folder / "a.png")

    def fingerprint(folder: str, name: bytes = b"a.png") -> str:
        return ImageFiles(folder=tmp_path / folder, ids=Paths([name]), labels=np.zeros(1, dtype=np.int64)).fingerprint()

    before = fingerprint("one")
    assert fingerprint("one") == before
    assert fingerprint("two") != before
    os.utime(tmp_path / "one" / "a.png", ns=(1, 1))
    assert fingerprint("one") != before
    assert fingerprint("one", b"gone.png") != fingerprint("one")


def test_overlap_of_training_and_test_list_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    for split in ("train", "val", "test"):
        (tmp_path / f"my_{split}.txt").write_text("a.png 0\n")
    ImageList(root=tmp_path, list_name="my").splits()
    assert "1 of its images are training images as well" in caplog.text
    assert "my_train.txt" not in caplog.text
    assert "my_test.txt" in caplog.text


def test_names_beyond_what_four_bytes_count_are_found_too(monkeypatch):
    names = [b"a.png", b"bcd.png", b"", b"e f.png"]
    short = Paths(names)
    monkeypatch.setattr(image_files, "_SHORT", 4)
    long = Paths(names)
    assert list(long) == list(short) == [name.decode() for name in names]
    assert (long._ends.itemsize, short._ends.itemsize) == (8, 4)


def test_large_jpeg_files_are_scaled_down_as_they_are_decoded(tmp_path: Path) -> None:
    """By the largest of 2, 4 and 8 that leaves both sides long enough; what is no JPEG file, or not large, is whole."""
    soft = Image.fromarray(np.random.default_rng(0).integers(256, size=(6, 8, 3), dtype=np.uint8))
    large = soft.resize((200, 120), Image.Resampling.BICUBIC)
    for name, kind in (("a.jpg", "JPEG"), ("b.png", "PNG")):
        (tmp_path / name).write_bytes(encoded(large, kind))
    (tmp_path / "c.jpg").write_bytes(b"\xff\xd8 cut")
    images = ImageFiles(folder=tmp_path, ids=Paths([b"a.jpg", b"b.png", b"c.jpg"]), labels=np.zeros(3, np.int64))
    for least, shape in ((61, (120, 200)), (60, (60, 100)), (31, (60, 100)), (30, (30, 50)), (9, (15, 25))):
        scaled, png = images.at_least(least).read([0, 1])
        assert scaled.shape == (3, *shape)
        assert torch.equal(png, images.read([1])[0])
        whole = interpolate(images.read([0])[0][None].float(), size=shape, mode="area")[0]
        assert float((scaled - whole).abs().max()) <= 10  # of 255, over smooth colours
    assert images.at_least(30).take(np.array([0]), np.array([2])).read([0])[0].shape == (3, 30, 50)
    with pytest.raises(UserError, match=r"c\.jpg: it is no image"):
        images.at_least(30).read([2])
