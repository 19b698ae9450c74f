"""Far open images: each pattern against its formula in floating point, and what they share with the glyphs."""

import hashlib

import numpy as np
import pytest
import torch

from oltr.contracts import OPEN
from oltr.data import glyph_far
from oltr.data.glyph_far import DIRECTIONS, KINDS, LEAST_PERIOD, PATTERNS, TURNS, far_set
from oltr.data.glyph_render import ONE
from oltr.data.glyphs import Glyphs

SIZES = [8, 32, 45]


def random_draws(count=40):
    return np.random.default_rng(0).integers(0, 1 << 16, (count, 128))


def share(draw, low, high):
    """A draw below 65,536 as a number from low to high."""
    return low + (draw / 65536) * (high - low)


def plane(size):
    place = np.arange(size) + 0.5 - size / 2
    return np.meshgrid(place, place)  # x, y


def way(draw):
    angle = 2 * np.pi * (draw * TURNS // 65536) / TURNS
    return np.cos(angle), np.sin(angle)


def wave(place, period, shift, size):
    """Signed distance from the nearest edge of a square wave."""
    long = share(period, *(max(LEAST_PERIOD, size * part / 28) for part in (4, 12)))
    phase = (place + share(shift, 0, long)) % long
    return np.abs(phase - long / 2) - long / 4


def crisp(inside):
    return np.clip(128 + 256 * inside, 0, 256)


def stripes(draws, size):
    (x, y), (cosine, sine) = plane(size), way(draws[0])
    return crisp(wave(x * cosine + y * sine, draws[1], draws[2], size))


def checkers(draws, size):
    (x, y), (cosine, sine) = plane(size), way(draws[0])
    first = wave(x * cosine + y * sine, draws[1], draws[2], size)
    second = wave(y * cosine - x * sine, draws[1], draws[3], size)
    same = (first > 0) == (second > 0)
    return crisp(np.where(same, 1, -1) * np.minimum(np.abs(first), np.abs(second)))


def rings(draws, size):
    x, y = plane(size)
    right, down = (share(draws[axis], -size / 2, size / 2) for axis in (2, 3))
    return crisp(wave(np.hypot(x - right, y - down), draws[1], draws[0], size))


def polygons(draws, size):
    x, y = plane(size)
    inside = []
    for right, down, turn, radius, corners in draws[88:103].reshape(3, 5):
        sides = 3 + int(corners) * 4 // 65536
        centre_x, centre_y = (share(one, -size * 3 / 8, size * 3 / 8) for one in (right, down))
        first = int(turn) * TURNS // 65536
        angles = [2 * np.pi * ((first + side * TURNS // sides) % TURNS) / TURNS for side in range(sides)]
        beyond = [(x - centre_x) * np.cos(angle) + (y - centre_y) * np.sin(angle) for angle in angles]
        inside.append(share(radius, size * 3 / 28, size * 6 / 28) - np.max(beyond, axis=0))
    return crisp(np.max(inside, axis=0))


def gradients(draws, size):
    (x, y), (cosine, sine) = plane(size), way(draws[0])
    span = share(draws[1], size / 2, size * 3 / 2)
    return np.clip(128 + 256 * (x * cosine + y * sine - share(draws[2], -size / 4, size / 4)) / span, 0, 256)


def blobs(draws, size):
    cells = (draws[88:124] * 256 // 65536).reshape(6, 6)
    place = np.clip((np.arange(size) + 0.5) * 6 / size - 0.5, 0, 5)
    weights = np.clip(1 - np.abs(place[:, None] - np.arange(6)), 0, None)
    return np.clip(128 + (weights @ cells @ weights.T - 127) * 8, 0, 256)


FORMULAS = (stripes, checkers, rings, blobs, polygons, gradients)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("formula", FORMULAS)
def test_each_pattern_is_its_formula(formula, size):
    draws = random_draws()
    ours = PATTERNS[formula.__name__](draws, size)
    assert ours.min() >= 0
    assert ours.max() <= 256
    # an eighth of a pixel where places are rounded to 1 / 256, cells to 1 / 64 of a cell
    allowed = {"rings": 4, "blobs": 64}.get(formula.__name__, 3)
    for one, drawn in zip(draws, ours, strict=True):
        assert np.abs(formula(one, size) - drawn).max() < allowed


def test_every_kind_is_tested_and_directions_go_all_the_way_round():
    assert tuple(formula.__name__ for formula in FORMULAS) == KINDS
    assert DIRECTIONS[[0, TURNS // 4, TURNS // 2]].tolist() == [[ONE, 0], [0, ONE], [-ONE, 0]]


def test_kinds_have_equal_shares():
    for count in (1, 6, 100, 500):
        far = far_set(count, seed=0, image_size=8)
        sizes = np.bincount(far.kinds, minlength=len(KINDS))
        assert sizes.sum() == len(far.ids) == len(set(far.ids)) == count
        assert sizes.max() - sizes.min() <= 1
        assert (far.labels == OPEN).all()
    assert far_set(7, seed=0, image_size=8).ids[:3] == ["far/stripes/00000", "far/stripes/00001", "far/checkers/00000"]


def test_an_image_follows_from_seed_kind_and_number_alone(monkeypatch):
    few, many, other = (far_set(count, seed=seed, image_size=12) for count, seed in ((12, 0), (90, 0), (90, 1)))
    for place, name in enumerate(few.ids):
        again = many.ids.index(name)
        assert torch.equal(few.read([place])[0], many.read([again])[0])
        assert not torch.equal(few.read([place])[0], other.read([again])[0])
    order = np.random.default_rng(0).permutation(90)
    whole = torch.stack(many.read(range(90)))
    monkeypatch.setattr(glyph_far, "PIXELS_AT_ONCE", 500)  # blocks of three
    assert torch.equal(torch.stack(many.read(order.tolist())), whole[order])


def test_they_are_the_same_bytes_on_every_machine():
    """No font takes part in them, so the digest holds for any version of matplotlib."""
    images = far_set(24, seed=7, image_size=20).read(range(24))
    digest = hashlib.sha256(b"".join(image.numpy().tobytes() for image in images)).hexdigest()
    assert digest == "4e8db4e32cd419c98a4bb9587985dfbfb8bdd730ef1cef2f7e904ad938951bd2"


def test_neither_brightness_nor_noise_tells_them_from_glyphs():
    splits = Glyphs(test_images=8, image_size=24).splits()
    near, far = (torch.stack(images.read(range(len(images.labels)))).double() for images in (splits.test, splits.far))
    for axes in ((1, 2, 3), (2, 3)):
        first, second = (images.mean(dim=axes).reshape(len(images), -1) for images in (near, far))
        error = (first.var(dim=0) / len(first) + second.var(dim=0) / len(second)).sqrt()
        assert ((first.mean(dim=0) - second.mean(dim=0)).abs() < 4 * error).all()
    grey = [images.mean(dim=(1, 2, 3)).std() for images in (near, far)]
    assert 0.85 < grey[0] / grey[1] < 1.18
    # noise: what differs between neighbours in the quietest tenth of each image's pixels
    quiet = [
        (images[..., 1:] - images[..., :-1]).abs().flatten(1).quantile(0.1, dim=1).mean() for images in (near, far)
    ]
    assert quiet[0] == pytest.approx(quiet[1], rel=0.25)
