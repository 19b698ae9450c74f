import hashlib
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oltr.contracts import OPEN, UserError
from oltr.data.glyph_characters import distinct_characters
from oltr.data.glyphs import Glyphs
from oltr.data.profiles import heights

SMALL = {"known_classes": 6, "open_classes": 3, "max_images": 9, "min_images": 2, "val_images": 2, "test_images": 3}
SMALL |= {"open_val_classes": 2, "open_val_images": 3, "far_images": 13}
SETS = ("train", "val", "test", "open", "open_val", "far")
DIGEST = """
import hashlib
from oltr.data.glyphs import Glyphs
splits = Glyphs(known_classes=6, open_classes=3, max_images=9, min_images=2).splits()
images = splits.train.read([20, 3]) + splits.open.read([7])
print(hashlib.sha256(b"".join(image.numpy().tobytes() for image in images)).hexdigest(), splits.manifest["sha256"])
"""


def texts(splits, name):
    images = getattr(splits, name)
    return [images.texts[place] for place in images.places]


def test_the_default_has_the_published_sizes():
    splits = Glyphs().splits()
    assert splits.train_counts.sum() == 5843
    assert (splits.train_counts.max(), splits.train_counts.min()) == (300, 5)
    assert (np.diff(splits.train_counts) <= 0).all()
    assert [len(getattr(splits, name).labels) for name in SETS[1:]] == [1600, 4000, 1000, 200, 500]


def test_pareto_has_about_as_many_images_as_imagenet_lt():
    sizes = [round(height) for height in heights("pareto", 1000, largest=1280, factor=256)]
    assert (sizes[0], sizes[-1]) == (1280, 5)
    assert sum(sizes) == pytest.approx(115_846, rel=0.06)
    assert sizes[124] == round(5 + 1275 * (2**0.5 - 1) / (1000 ** (1 / 6) - 1))  # (125 / 1000) ** (-1 / 6) = sqrt(2)


def test_step_and_exponential_by_hand():
    assert heights("step", 5, largest=40, factor=10) == [40, 40, 4, 4, 4]
    assert heights("exponential", 3, largest=100, factor=100) == pytest.approx([100, 10, 1])


@given(st.sampled_from(["exponential", "pareto", "step"]), st.integers(1, 60), st.integers(1, 50), st.integers(0, 2000))
def test_sizes_fall_from_the_largest_to_the_smallest(profile, classes, smallest, more):
    largest = smallest + more
    sizes = [round(height) for height in heights(profile, classes, largest=largest, factor=largest / smallest)]
    assert sizes[0] == smallest + more
    assert sorted(sizes, reverse=True) == sizes
    assert len(sizes) == 1 or sizes[-1] == smallest


def test_known_and_open_classes_are_disjoint_and_drawn_from_the_seed():
    splits = [Glyphs(seed=seed).splits() for seed in (0, 0, 1)]
    for one in splits:
        classes = [*one.manifest["known"], *one.manifest["open"]]
        assert len({*classes, *one.manifest["open_val"]}) == 110
        assert {*classes, *one.manifest["open_val"]} <= set(distinct_characters().characters)
        assert set(texts(one, "train")) == set(texts(one, "test")) == set(one.manifest["known"])
        assert set(texts(one, "open")) == set(one.manifest["open"])
        assert set(texts(one, "open_val")) == set(one.manifest["open_val"])
        assert all((strangers.labels == OPEN).all() for strangers in (one.open, one.open_val, one.far))
    assert splits[0].manifest == splits[1].manifest
    assert splits[0].manifest["known"] != splits[2].manifest["known"]
    tail = "".join(splits[0].manifest["known"][40:])
    assert len({ord(one) >> 8 for one in tail}) >= 4  # the tail is not one script


def test_where_characters_run_out_classes_are_pairs():
    count = len(distinct_characters().characters)
    assert all(len(text) == 1 for text in Glyphs(known_classes=count - 5, open_classes=5).splits().manifest["known"])
    manifest = Glyphs(known_classes=count, open_classes=5, max_images=2, min_images=2).splits().manifest
    classes = [*manifest["known"], *manifest["open"]]
    assert len(set(classes)) == count + 5
    assert all(len(set(text)) == 2 for text in classes)
    with pytest.raises(UserError, match=f"there are only {count * (count - 1)} pairs"):
        Glyphs(known_classes=200_000).splits()


@pytest.mark.parametrize("options", [{"known_classes": 20, "open_classes": 5}, {"known_classes": 263}])
def test_open_validation_classes_change_no_other_class_and_no_image(options):
    plain, some, many = (
        Glyphs(**(SMALL | options | {"open_val_classes": classes})).splits() for classes in (0, 4, 90_000)
    )
    assert plain.open_val is None
    assert plain.manifest["open_val"] == []
    for other in (some, many):
        assert [other.manifest[name] for name in ("known", "open")] == [plain.manifest[n] for n in ("known", "open")]
        for name in ("train", "val", "test", "open", "far"):
            first, second = getattr(plain, name), getattr(other, name)
            assert list(first.ids) == list(second.ids)
            assert all(torch.equal(a, b) for a, b in zip(first.read([0, 4]), second.read([0, 4]), strict=True))
    assert some.manifest["open_val"] == many.manifest["open_val"][:4]
    everything = [text for name in ("known", "open", "open_val") for text in many.manifest[name]]
    assert len(set(everything)) == len(everything)


def test_there_are_as_many_open_validation_classes_as_are_left():
    count = len(distinct_characters().characters)
    few, none = (Glyphs(**(SMALL | {"known_classes": count - 3 - left, "open_val_classes": 10})) for left in (4, 0))
    assert len(few.splits().manifest["open_val"]) == 4
    assert len(few.splits().open_val.labels) == 4 * 3
    assert "4 further open classes for validation" in few.check().lines
    assert none.splits().open_val is None
    pairs = Glyphs(**(SMALL | {"known_classes": count - 2})).splits()  # one more, and all classes are pairs
    assert all(len(text) == 2 for text in pairs.manifest["open_val"])


def test_the_same_bytes_in_another_process_and_in_any_order():
    splits = Glyphs(known_classes=6, open_classes=3, max_images=9, min_images=2).splits()
    images = splits.train.read([3, 20])[::-1] + splits.open.read(range(8))[7:]
    digest = hashlib.sha256(b"".join(image.numpy().tobytes() for image in images)).hexdigest()
    other = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    assert other.stdout.split() == [digest, splits.manifest["sha256"]]


def test_an_image_is_the_same_whatever_else_is_in_the_set():
    few, many = (Glyphs(max_images=size, val_images=3).splits() for size in (250, 300))
    first = few.manifest["known"].index(many.manifest["known"][2])
    a, b = (np.flatnonzero(one.train.labels == place)[4] for one, place in ((few, first), (many, 2)))
    assert torch.equal(few.train.read([a])[0], many.train.read([b])[0])


def test_all_sets_and_seeds_draw_from_their_own_streams():
    splits = [Glyphs(**SMALL, seed=seed).splits() for seed in (0, 1)]
    images = [
        image.numpy().tobytes()
        for one in splits
        for name in SETS
        for image in getattr(one, name).read(range(len(getattr(one, name).labels)))
    ]
    assert len(set(images)) == len(images)
    train, test = (splits[0].train.read([0])[0], splits[0].test.read([0])[0])  # same character, same number
    assert not torch.equal(train, test)


def test_ids_are_unique_and_sets_survive_pickling():
    splits = Glyphs(**SMALL, image_size=8).splits()
    ids = [one for name in SETS for one in getattr(splits, name).ids]
    assert len(set(ids)) == len(ids)
    copy = pickle.loads(pickle.dumps(splits.train))
    assert all(torch.equal(a, b) for a, b in zip(copy.read([1, 5]), splits.train.read([1, 5]), strict=True))
    assert copy.read([0])[0].shape == (3, 8, 8)
    copy = pickle.loads(pickle.dumps(splits.far))
    assert all(torch.equal(a, b) for a, b in zip(copy.read([1, 5]), splits.far.read([1, 5]), strict=True))


def test_the_manifest_is_plain_and_its_sha_follows_every_option():
    plain = Glyphs(**SMALL).splits().manifest
    assert json.loads(json.dumps(plain)) == plain
    assert plain["options"]["seed"] == 0
    others = [{"seed": 4}, {"image_size": 16}, {"profile": "step"}, {"open_images": 7}, {"max_images": 8}]
    others += [{"open_val_classes": 1}, {"open_val_images": 4}, {"far_images": 2}]
    shas = {Glyphs(**(SMALL | other)).splits().manifest["sha256"] for other in others}
    assert len(shas | {plain["sha256"]}) == len(others) + 1


def test_no_open_classes_no_open_set():
    splits = Glyphs(**(SMALL | {"open_classes": 0, "far_images": 0})).splits()
    assert splits.open is splits.far is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"known_classes": 0}, "known_classes is at least 1, not 0"),
        ({"max_images": 3, "min_images": 4}, "max_images is at least 4, not 3"),
        ({"image_size": 4}, "image_size is at least 8, not 4"),
        ({"image_size": 5000}, "image_size is at most 1024"),
        ({"seed": -1}, "seed is at least 0"),
        ({"open_val_classes": -1}, "open_val_classes is at least 0"),
        ({"open_val_images": 0}, "open_val_images is at least 1, not 0"),
        ({"far_images": -5}, "far_images is at least 0, not -5"),
        ({"profile": "zipf"}, "no profile 'zipf'; there are exponential, step, pareto"),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        Glyphs(**options)


def test_check_says_what_there_is(monkeypatch, tmp_path):
    check = Glyphs(**SMALL).check()
    assert check.ok
    assert "6 known classes of 9 to 2 training images, 3 open classes" in check.lines
    assert "2 further open classes for validation" in check.lines
    assert "train 30, val 12, test 18, open 150, open_val 6, far 13 images" in check.lines
    monkeypatch.setattr("oltr.data.glyphs.font_paths", lambda: (tmp_path / "DejaVuSans.ttf",))
    check = Glyphs(**SMALL).check()
    assert not check.ok
    assert "DejaVuSans.ttf" in check.lines[0]
