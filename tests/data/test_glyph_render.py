import numpy as np
import pytest

from oltr.data.glyph_fonts import mask
from oltr.data.glyph_render import (
    CONTRAST,
    JITTER,
    ONE,
    _background,
    _colours,
    affine,
    render,
    warp,
    words_of,
)


def random_words(count, size, seed=0):
    return np.random.Philox(key=[seed, 9]).random_raw(count * words_of(size)).reshape(count, -1)


def straight_warp(image, matrix, size):
    """Bilinear sampling one pixel at a time, in floating point."""
    seen = np.zeros((size, size))
    last = len(image) - 1
    for y in range(size):
        for x in range(size):
            u, v = (np.clip(row @ (x, y, 1) / ONE, 0, last - 1e-9) for row in matrix)
            i, j = int(v), int(u)
            top = image[i, j] * (1 - u + j) + image[i, j + 1] * (u - j)
            bottom = image[i + 1, j] * (1 - u + j) + image[i + 1, j + 1] * (u - j)
            seen[y, x] = top * (1 - v + i) + bottom * (v - i)
    return seen


def test_warp_is_bilinear_sampling():
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 256, (3, 9, 9), dtype=np.uint8)
    matrices = rng.integers(-ONE, ONE, (3, 2, 3))
    matrices[:, :, 2] *= 4
    for mask_, matrix, seen in zip(masks, matrices, warp(masks, matrices, 11), strict=True):
        assert np.abs(straight_warp(mask_.astype(float), matrix, 11) - seen).max() < 3.1


def test_the_identity_draws_the_mask_itself():
    drawn = mask("R", 0, 20)
    middle = np.full((1, 2), (len(drawn) - 1) * ONE // 2)
    matrix = affine(np.array([[ONE, 0]]), np.array([0]), np.array([ONE]), middle, len(drawn))
    assert np.array_equal(warp(drawn[None], matrix, len(drawn))[0], drawn)


def test_a_quarter_turn_is_a_quarter_turn():
    drawn = mask("R", 0, 20)
    middle = np.full((1, 2), (len(drawn) - 1) * ONE // 2)
    matrix = affine(np.array([[0, ONE]]), np.array([0]), np.array([ONE]), middle, len(drawn))
    assert np.array_equal(warp(drawn[None], matrix, len(drawn))[0], np.rot90(drawn, -1))


def test_ink_stands_out_from_the_background_everywhere():
    rng = np.random.default_rng(1)
    base, ink = _colours(rng.integers(0, 1 << 16, (500, 3)), rng.integers(0, 1 << 16, (500, 8, 3)))
    places = _background(base, rng.integers(0, 1 << 16, (500, 3, 4, 4)), 16).astype(np.int64)
    light = np.array([0.299, 0.587, 0.114])
    distance = np.abs(np.einsum("bcyx,c->byx", places, light) - (ink @ light)[:, None, None])
    assert distance.min() >= CONTRAST - JITTER - 2


def test_the_background_blends_its_cells():
    cells = np.full((1, 3, 4, 4), 1 << 15)
    flat = _background(np.array([[10, 100, 200]]), cells, 12)
    assert [np.unique(channel).tolist() for channel in flat[0]] == [[10], [100], [200]]
    cells[0, 0, 0, 0] = (1 << 16) - 1
    image = _background(np.array([[100, 100, 100]]), cells, 32)[0, 0]
    assert image[0, 0] == 100 + JITTER
    assert (np.diff(image[0].astype(int)) <= 0).all()
    assert image[0, -1] == image[-1, 0] == 100


def test_images_do_not_depend_on_those_rendered_with_them():
    words = random_words(5, 24)
    together = render(list("ABCDE"), words, 24)
    for index, text in enumerate("ABCDE"):
        assert np.array_equal(render([text], words[index : index + 1], 24)[0], together[index])


@pytest.mark.parametrize("size", [8, 9, 31])
def test_the_character_is_in_the_image(size):
    """Other text, same random words: the images differ where either has ink, and not elsewhere."""
    words = random_words(20, size)
    one, other = (render([text] * 20, words, size).astype(int) for text in ("M", "L"))
    changed = np.abs(one - other).max(axis=1) > 0
    assert (changed.sum(axis=(1, 2)) >= 3).all()
    assert changed.mean() < 0.6
