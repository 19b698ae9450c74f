import numpy as np
import pytest

from oltr.data.glyph_characters import ALIKE, LEAST_INK, alike, distinct_characters, turned
from oltr.data.glyph_fonts import FACES, MARGIN, candidates, ink, mask

LOOK_ALIKES = ["AΑА", "oOοОо0", "sSѕЅ", "vV", "xXхХ", "cCсС", "HНΗ", "zZᴢ", "lIІӀǀ"]


@pytest.mark.parametrize("group", LOOK_ALIKES)
def test_of_characters_that_look_the_same_at_most_one_is_a_class(group):
    assert len(set(group) & set(distinct_characters().characters)) <= 1


def test_latin_greek_and_cyrillic_capital_a_are_alike_in_every_face():
    for face in range(len(FACES)):
        drawn = np.stack([mask(one, face, 20) for one in "AΑАB"])
        assert alike(drawn, drawn)[:3, :3].all()
        assert not alike(drawn, drawn)[3, :3].any()


def test_case_does_not_distinguish_where_only_size_differs():
    drawn = np.stack([mask(one, 0, 20) for one in "oOsSaA"])
    pairs = alike(drawn, drawn)
    assert pairs[0, 1]
    assert pairs[2, 3]
    assert not pairs[4, 5]


def test_no_two_classes_are_alike_in_any_two_faces():
    characters = distinct_characters().characters
    rng = np.random.default_rng(0)
    for _ in range(6):
        one, other = rng.integers(len(FACES), size=2)
        a, b = (
            np.stack([mask(one, int(face), 20) for one in characters]).astype(np.int64) >> 4 for face in (one, other)
        )
        product = np.einsum("nij,kij->nk", a, b)
        energy = (a * a).sum(axis=(1, 2))[:, None] + (b * b).sum(axis=(1, 2))
        distance = 1 - 2 * product / energy
        np.fill_diagonal(distance, 1)
        assert distance.min() >= ALIKE - 1e-6


def test_there_are_enough_letters_and_digits_and_all_carry_ink():
    characters = distinct_characters().characters
    assert 200 <= len(characters) < len(candidates())
    assert set("012AKb") <= set(characters)
    assert min(ink(one, face, 64) for one in characters[::10] for face in range(len(FACES))) >= LEAST_INK
    assert not set("ˈˌːι") & set(characters)  # modifiers and the iota subscript: hardly any ink


def test_a_turn_is_undone_by_the_turn_back_and_keeps_size_and_place():
    plain = np.stack([mask(one, 0, 20) for one in "AKRQ"])
    assert alike(turned(plain, 0), plain).diagonal().all()
    there = turned(plain, 10)
    assert alike(turned(there, -10), plain).diagonal().all()
    for image in there:
        rows, columns = np.flatnonzero(image.max(axis=1) > 64), np.flatnonzero(image.max(axis=0) > 64)
        assert 18 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 22
        assert abs(rows.min() + rows.max() - 23) <= 3
        assert abs(columns.min() + columns.max() - 23) <= 3


@pytest.mark.parametrize("text", ["A", "i", "W", "AB", "iW"])
@pytest.mark.parametrize("pixels", [6, 25, 176])
def test_a_mask_fills_its_box_and_leaves_its_edge_empty(text, pixels):
    for face in (0, 6, 11):
        drawn = mask(text, face, pixels)
        assert drawn.shape == (pixels + 2 * MARGIN,) * 2
        assert not drawn[[0, -1]].any()
        assert not drawn[:, [0, -1]].any()
        rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
        longest = max(np.ptp(rows), np.ptp(columns)) + 1
        assert longest >= (pixels - 1 if len(text) == 1 else pixels * 0.6)


def test_a_pair_shows_both_characters_in_order():
    both, swapped = mask("AB", 0, 100), mask("BA", 0, 100)
    half = both.shape[1] // 2
    assert both[:, half - 1 : half + 1].max() == 0
    assert alike(both[None], swapped[None]).item() is False
    assert abs(int(both[:, :half].sum()) - int(swapped[:, half:].sum())) < 0.02 * both.sum()
