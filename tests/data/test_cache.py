import errno
import logging
import multiprocessing
import pickle
from collections import namedtuple
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from oltr.contracts import OPEN, RunError, UserError
from oltr.data import cache_build
from oltr.data.cache import CachedSet, cached
from oltr.data.cache_file import checksums
from oltr.data.split import Splits
from oltr.hdf5 import Stream

NAMES = ("train", "val", "test", "open", "far", "open_val")


class Noise:
    """Random images [3, height, width], each from its index."""

    def __init__(self, count, sizes=((6, 6),), label=None, fail_at=None, error=None):
        self.labels = np.arange(count) % 3 if label is None else np.full(count, label)
        self.ids = [f"käse/{index}" for index in range(count)]
        self.sizes, self.fail_at, self.error, self.reads = sizes, fail_at, error, 0

    def read(self, indices):
        self.reads += len(indices)
        if self.fail_at in indices:
            raise self.error
        images = []
        for index in indices:
            height, width = self.sizes[index % len(self.sizes)]
            pixels = np.random.default_rng(index).integers(0, 256, (3, height, width), dtype=np.uint8)
            images.append(torch.from_numpy(pixels))
        return images


def make(count=150, sha="a", **options):
    sets = {name: Noise(5) for name in ("val", "test")}
    return Splits(
        train=Noise(count, **options),
        **sets,
        **{name: Noise(4, label=OPEN) for name in ("open", "far", "open_val")},
        class_names=("x", "y", "z"),
        manifest={"sha256": sha},
    )


def same(first, second, indices):
    return all(torch.equal(a, b) for a, b in zip(first.read(indices), second.read(indices), strict=True))


def train_file(folder):
    (path,) = folder.glob("train-*.h5")
    return path


@pytest.mark.parametrize("memory", [0, 2**20])
def test_a_cache_reads_as_its_source(tmp_path, memory):
    splits = make()
    copy = cached(splits, folder=tmp_path / "new" / "folder", memory=memory)
    for name in NAMES:
        source, read = getattr(splits, name), getattr(copy, name)
        assert isinstance(read, CachedSet)
        assert np.array_equal(read.labels, source.labels)
        assert list(read.ids) == source.ids
    indices = [149, 0, 1, 2, 77, 78, 0, 149, 3]  # runs, repeats, no order
    assert same(copy.train, splits.train, indices)
    assert copy.train.read([]) == []
    with pytest.raises(IndexError):
        copy.train.read([150])
    assert (copy.class_names, copy.manifest) == (splits.class_names, splits.manifest)


def test_the_second_time_nothing_is_decoded_and_no_open_set_stays_none(tmp_path):
    cached(replace(make(), open=None), folder=tmp_path)
    again = replace(make(), open=None)
    assert cached(again, folder=tmp_path).open is None
    assert again.train.reads == 0


def test_a_changed_source_size_or_set_never_meets_an_old_file(tmp_path):
    cached(make(sha="a"), folder=tmp_path)
    for changed in ({"sha": "b"}, {"sha": "a", "image_size": 4}):
        size = changed.pop("image_size", None)
        splits = make(**changed)
        assert cached(splits, folder=tmp_path, image_size=size).train.read([0])[0].shape[1] == (size or 6)
        assert splits.train.reads > 150
    assert len(list(tmp_path.glob("train-*.h5"))) == 3


@pytest.mark.parametrize("memory", [0, 2**20])
def test_a_file_of_another_source_is_made_again(tmp_path, memory, caplog):
    cached(make(sha="a"), folder=tmp_path)
    path = train_file(tmp_path)
    cached(make(sha="b", count=20), folder=tmp_path / "b")
    path.write_bytes(train_file(tmp_path / "b").read_bytes())
    splits = make(sha="a")
    with caplog.at_level(logging.WARNING):
        copy = cached(splits, folder=tmp_path, memory=memory)
    assert "making it again" in caplog.text
    assert same(copy.train, splits.train, range(150))


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "bit"])
def test_a_damaged_file_is_made_again(tmp_path, damage, caplog):
    cached(make(), folder=tmp_path)
    path = train_file(tmp_path)
    whole = path.read_bytes()
    at = whole.index(make().train.read([70])[0].permute(1, 2, 0).numpy().tobytes()) + 5
    path.write_bytes(
        {
            "truncated": whole[:-100],
            "empty": b"",
            "text": b"no HDF5" * 999,
            "bit": whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
        }[damage]
    )
    with caplog.at_level(logging.WARNING):
        copy = cached(make(), folder=tmp_path)
    assert str(path) in caplog.text
    assert "\n" not in caplog.messages[0]
    assert same(copy.train, make().train, range(150))
    assert path.read_bytes() == whole


def test_damage_met_while_reading_is_an_error_never_a_wrong_image(tmp_path):
    copy = cached(make(), folder=tmp_path, memory=0)
    path = train_file(tmp_path)
    whole = bytearray(path.read_bytes())
    whole[whole.index(make().train.read([70])[0].permute(1, 2, 0).numpy().tobytes())] ^= 1
    copy = pickle.loads(pickle.dumps(copy.train))
    path.write_bytes(whole)
    assert same(copy, make().train, [69, 71])
    with pytest.raises(RunError, match=r"train-.* is damaged \(image käse/70 is not what was written\); delete it"):
        copy.read([70])
    path.write_bytes(whole[: whole.index(make().train.read([72])[0].permute(1, 2, 0).numpy().tobytes()) + 20])
    with pytest.raises(RunError, match=r"train-.* is damaged \(it ends too early\); delete it"):
        copy.read([71, 72, 73])


@pytest.mark.parametrize("wrong", ["identity", "labels", "ids", "checksums", "images"])
def test_a_file_that_is_not_its_sources_is_made_again(tmp_path, wrong, caplog):
    cached(make(), folder=tmp_path)
    path = train_file(tmp_path)
    with h5py.File(path, "r+") as file:
        if wrong == "identity":
            file.attrs["source_checksum"] = "another"
        elif wrong in ("labels", "ids"):
            file[wrong][3] = file[wrong][4]
        else:
            values = file[wrong][:-1]
            del file[wrong]
            file[wrong] = values
    with caplog.at_level(logging.WARNING):
        copy = cached(make(), folder=tmp_path, memory=0)
    assert f"{path} " in caplog.text
    assert "making it again" in caplog.text
    assert same(copy.train, make().train, range(150))


def test_a_file_that_is_gone_is_said(tmp_path):
    copy = cached(make(), folder=tmp_path, memory=0)
    train_file(tmp_path).unlink()
    with pytest.raises(RunError, match=r"the cache .*train-.*h5 is gone; run again, and it is made again"):
        copy.train.read([5])


def test_a_source_that_fails_without_a_word_is_one_line(tmp_path):
    with pytest.raises(RunError, match=r"cannot make the cache .*h5: OSError$"):
        cached(make(fail_at=130, error=OSError()), folder=tmp_path)


def test_workers_make_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_build, "POOL_SECONDS", 0)
    splits = make(count=400, sizes=((9, 7), (8, 12)))
    monkeypatch.setattr(cache_build, "BLOCK", 40)
    cached(splits, folder=tmp_path / "serial", image_size=5)
    before = splits.train.reads
    cached(splits, folder=tmp_path / "parallel", image_size=5, workers=2)
    assert splits.train.reads == before + 41  # the others were read elsewhere
    for path in (tmp_path / "serial").iterdir():
        assert path.read_bytes() == (tmp_path / "parallel" / path.name).read_bytes()


def test_a_set_that_can_be_read_smaller_is_where_that_is_asked_for(tmp_path):
    """Into a file of its own; sets that cannot are cached as they are."""
    asked = []

    class Scaling(Noise):
        def at_least(self, side):
            asked.append(side)
            return Scaling(len(self.labels), sizes=((5, 5),))

    splits = replace(make(), train=Scaling(150, sizes=((12, 12),)))
    plain = cached(splits, folder=tmp_path, image_size=4)
    assert asked == []
    scaled = cached(splits, folder=tmp_path, image_size=4, scaled_decode=True)
    assert asked == [4]
    assert len(list(tmp_path.glob("train-*.h5"))) == 2
    assert len(list(tmp_path.glob("test-*.h5"))) == 1
    assert not same(plain.train, scaled.train, [0, 1])
    assert np.array_equal(plain.train.labels, scaled.train.labels)


@pytest.mark.parametrize("size", [(4, 4), (8, 6), (5, 17), (3, 3)])
def test_the_shorter_side_is_resized_and_the_middle_kept(tmp_path, size):
    ramp = torch.arange(size[1], dtype=torch.uint8).mul(10).expand(3, *size)
    splits = make(count=2)
    splits.train.read = lambda indices: [ramp] * len(indices)
    seen = cached(splits, folder=tmp_path, image_size=4).train.read([0])[0]
    assert seen.shape == (3, 4, 4)
    assert seen.float().mean() == pytest.approx(ramp.float().mean(), abs=4)
    assert (seen[0, 0].diff() > 0).all()
    if size == (4, 4):
        assert torch.equal(seen, ramp)


@pytest.mark.parametrize(
    ("error", "workers"), [(KeyboardInterrupt(), 0), (UserError("no käse/130"), 0), (UserError("no käse/130"), 1)]
)
def test_a_failure_leaves_nothing_and_touches_nothing(tmp_path, error, workers, monkeypatch):
    monkeypatch.setattr(cache_build, "POOL_SECONDS", 0)
    (tmp_path / "train-0.h5").write_bytes(b"mine")
    with pytest.raises(type(error)):
        cached(make(fail_at=130, error=error), folder=tmp_path, workers=workers)
    assert [path.name for path in tmp_path.iterdir()] == ["train-0.h5"]


def test_a_full_disk_is_said_before_the_work_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_build.shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(10_000))
    splits = make()
    with pytest.raises(
        RunError, match=r"no space for the cache .*train-.*h5: it needs 1?\d\d,\d{3} bytes|1,\d{3},\d{3}"
    ):
        cached(splits, folder=tmp_path)
    assert splits.train.reads == 1
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_on_the_way(tmp_path, monkeypatch):
    """HDF5 never hears of it: told, it would end the process when the file is closed."""
    splits, original = make(), Stream.write

    def write(self, data):
        if splits.train.reads > 100 and self.failure is None:
            self.failure = OSError(errno.ENOSPC, "No space left on device")
        return original(self, data)

    monkeypatch.setattr(Stream, "write", write)
    with pytest.raises(RunError, match=r"no space left on the disk for .*train-.*h5"):
        cached(splits, folder=tmp_path)
    assert 100 < splits.train.reads < 150
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 3))), st.data())
def test_any_changed_byte_changes_the_checksum_of_its_image_alone(images, data):
    before, changed = checksums(images), images.copy()
    place = tuple(data.draw(st.integers(0, side - 1)) for side in images.shape)
    changed[place] ^= data.draw(st.integers(1, 255))
    assert np.flatnonzero(checksums(changed) != before).tolist() == [place[0]]
    padded = [bytes(image.tobytes()) + bytes(-image.size % 4) for image in images]
    words = [[int.from_bytes(row[at : at + 4], "little") for at in range(0, len(row), 4)] for row in padded]
    assert before.tolist() == [sum(row) % 2**32 for row in words]


def test_images_of_several_sizes_need_an_image_size(tmp_path):
    for count in (10, 100):
        with pytest.raises(
            UserError, match=r"image käse/\d+ is 9 x 5 but others of its set are 6 x 6; give .*image_size"
        ):
            cached(make(count=count, sizes=((6, 6),) * (count - 3) + ((9, 5),)), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_cached_is_said(tmp_path):
    with pytest.raises(UserError, match="no sha256"):
        cached(replace(make(), manifest={}), folder=tmp_path)
    with pytest.raises(UserError, match="image_size is at least 1, not 0"):
        cached(make(), folder=tmp_path, image_size=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot make the cache"):
        cached(make(), folder=tmp_path / "file")


def read_elsewhere(images, queue):
    queue.put(torch.stack(images.read([3, 99, 4])).sum().item())


@pytest.mark.parametrize(("method", "memory"), [("fork", 0), ("fork", 2**20), ("spawn", 2**20)])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_other_processes_read_the_same(tmp_path, method, memory):
    images = cached(make(), folder=tmp_path, memory=memory).train
    images.read([5])
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=read_elsewhere, args=(images, queue))
    process.start()
    assert queue.get(timeout=60) == torch.stack(images.read([3, 99, 4])).sum().item()
    process.join()
    assert len(pickle.dumps(images)) < 10_000


def test_other_files_behind_the_same_lists_are_read_anew(tmp_path):
    """A manifest knows the lists; an image set over files tells the files themselves apart."""

    def read_first(mark):
        images = Noise(20)
        images.fingerprint = lambda: mark
        splits = replace(make(), train=images)
        cached(splits, folder=tmp_path)
        return images.reads

    assert read_first("one") > 0
    assert read_first("one") == 0
    assert read_first("two") > 0


def test_a_transform_may_write_to_the_image_it_is_given(tmp_path):
    images = cached(make(), folder=tmp_path).train
    first = images.read([0])[0].clone()
    images.read([0])[0].zero_()
    assert torch.equal(images.read([0])[0], first)
