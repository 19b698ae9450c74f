"""Colour jitter of a batch against torchvision's of one image, step by step and as a whole."""

import itertools
import pickle
import shutil

import pytest
import torch
from torchvision.transforms.v2 import functional as of_one_image

from oltr.contracts import UserError
from oltr.transforms import colour_jitter
from oltr.transforms.colour_jitter import LEAST, Adjusting, ColourJitter, formula
from oltr.transforms.colour_jitter import STEPS as NAMES

STEPS = {
    Adjusting.brightness: of_one_image.adjust_brightness,
    Adjusting.contrast: of_one_image.adjust_contrast,
    Adjusting.saturation: of_one_image.adjust_saturation,
}
FACTORS = torch.linspace(0, 2, 11).clamp(min=LEAST)


def stored(count: int = 11) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 9, 7), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def images(count: int = 11) -> torch.Tensor:
    return stored(count) / 255


def adjusted(steps, values, factors):
    """What the steps make of one image or a batch, with one factor each."""
    adjusting = Adjusting(values.float())
    for step, factor in zip(steps, factors, strict=True):
        step(adjusting, factor)
    return adjusting.values * adjusting.scale + adjusting.shift


@pytest.mark.parametrize("step", STEPS)
def test_each_step_is_torchvisions(step):
    expected = [STEPS[step](image, float(factor)) for image, factor in zip(images(), FACTORS, strict=True)]
    found = adjusted([step], stored(), [FACTORS[:, None, None, None]])
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=2e-6)


@pytest.mark.parametrize("order", list(itertools.product(range(3), repeat=3)), ids=str)
def test_steps_in_any_order_and_again_are_torchvisions(order):
    steps = [list(STEPS)[which] for which in order]
    for factors in ((0.3, 1.8, 0.6), (1.7, 0.2, 1.9), (LEAST, 4.0, 3.0)):
        for place in range(3):
            one = images()[place]
            for step, factor in zip(steps, factors, strict=True):
                one = STEPS[step](one, factor)
            torch.testing.assert_close(adjusted(steps, stored()[place], factors), one, rtol=0, atol=3e-6)


@pytest.mark.parametrize("steps", [*itertools.permutations(STEPS), *([step] for step in STEPS)])
def test_an_image_by_itself_is_as_in_a_batch(steps):
    """As on a CPU, and as on a GPU; a factor of at most 1 spares the single image a pass, and must not be missed."""
    for place, first in enumerate(FACTORS.tolist()):
        factors = [first, 2 - first if first < 2 else 0.4, 1.3][: len(steps)]
        alone = adjusted(steps, stored()[place], factors)
        batch = adjusted(steps, stored(), [torch.full((11, 1, 1, 1), factor) for factor in factors])
        torch.testing.assert_close(alone, batch[place], rtol=0, atol=2e-6)
        assert alone.min() >= -1e-6
        assert alone.max() <= 1 + 1e-6


@pytest.mark.parametrize("order", [*itertools.permutations(range(3)), (2,), ()], ids=str)
def test_the_formula_is_torchvisions_then_a_line(order):
    factors = torch.stack([FACTORS, FACTORS.flip(0), FACTORS.roll(4)])
    scale, shift = torch.tensor([[[2.0]], [[3.0]], [[0.5]]]), torch.tensor([[[0.1]], [[-0.2]], [[0.0]]])
    found = formula(stored(), [NAMES[which] for which in order], factors, scale, shift)
    for place, one in enumerate(images()):
        for which in order:
            one = list(STEPS.values())[which](one, float(factors[which, place]))
        torch.testing.assert_close(found[place], one * scale + shift, rtol=0, atol=6e-6)


@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang") is None, reason="needs a C++ compiler")
def test_what_is_compiled_is_what_is_not_and_travels_to_workers():
    plain, compiled = (ColourJitter(brightness=0.4, contrast=0.4, saturation=0.4) for _ in range(2))
    compiled.compile()
    line = (torch.tensor([[[2.0]], [[3.0]], [[0.5]]]), torch.tensor([[[0.1]], [[-0.2]], [[0.0]]]))
    orders = set()
    for seed, size, given in ((0, 11, line), (1, 11, line), (2, 7, ()), (3, 1, line)):
        generator = torch.Generator().manual_seed(seed)
        orders.add(tuple(torch.randperm(3, generator=generator).tolist()))
        expected, found = (
            jitter(stored(size), torch.Generator().manual_seed(seed), *given) for jitter in (plain, compiled)
        )
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        assert found.is_contiguous()
        compiled = pickle.loads(pickle.dumps(compiled))
    assert len(orders) >= 3


def test_the_formula_is_given_to_torch_where_that_is_wanted(monkeypatch):
    given, worked = [], []

    def compiled(function, **options):
        given.append((function, options))
        return lambda *arguments: worked.append(len(arguments[0])) or function(*arguments)

    monkeypatch.setattr(torch, "compile", compiled)
    colour_jitter._compiled_formula.cache_clear()
    try:
        jitter = ColourJitter(brightness=0.4, contrast=0.4, saturation=0.4)
        jitter(stored(), torch.Generator())
        assert not given
        jitter.compile()
        jitter(stored(), torch.Generator())
        jitter(stored(5), torch.Generator())
    finally:
        colour_jitter._compiled_formula.cache_clear()
    assert given == [(formula, {"dynamic": True})]
    assert worked == [11, 5]


def test_the_whole_is_some_order_of_the_steps_with_the_factors_drawn():
    seen = set()
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        ours = ColourJitter(brightness=0.4, contrast=0.3, saturation=0.9)(stored(), generator)
        generator.manual_seed(seed)
        torch.randperm(3, generator=generator)
        spread = torch.rand(3, 11, generator=generator) * 2 - 1
        factors = 1 + torch.tensor([[0.4], [0.3], [0.9]]) * spread
        steps = list(zip(STEPS.values(), factors, strict=True))
        matching = [order for order in itertools.permutations(range(3)) if is_result(ours, [steps[i] for i in order])]
        assert len(matching) == 1
        seen.update(matching)
    assert len(seen) == 6


def is_result(jittered, steps):
    for place, (ours, one) in enumerate(zip(jittered, images(), strict=True)):
        for adjust, factors in steps:
            one = adjust(one, float(factors[place]))
        if not torch.allclose(ours, one, rtol=0, atol=1e-5):
            return False
    return True


def test_factors_are_spread_evenly_and_never_below_zero():
    grey = torch.full((4000, 3, 1, 1), 51, dtype=torch.uint8)
    factors = ColourJitter(brightness=0.4, contrast=0, saturation=0)(grey, torch.Generator().manual_seed(0)) / 0.2
    low, middle, high = factors.min(), factors.mean(), factors.max()
    assert 0.5999 < low < 0.601
    assert 1.399 < high < 1.4001
    assert abs(middle - 1) < 4 * 0.8 / (12 * 4000) ** 0.5  # four standard deviations
    strong = ColourJitter(brightness=3, contrast=0, saturation=0)(
        torch.full((400, 3, 1, 1), 25, dtype=torch.uint8), torch.Generator().manual_seed(0)
    )
    assert strong.min() == pytest.approx(0, abs=1e-6)
    assert (strong < 1e-6).sum() > 300  # a third of the factors were below 0, of three channels each


def test_factors_far_from_one_stay_within_the_image():
    strong = ColourJitter(brightness=3, contrast=3, saturation=3)
    for seed in range(30):
        jittered = strong(stored(), torch.Generator().manual_seed(seed))
        assert jittered.min() >= -1e-5
        assert jittered.max() <= 1 + 1e-5


def test_strength_zero_changes_nothing():
    unchanged = ColourJitter(brightness=0, contrast=0, saturation=0)(stored(), torch.Generator())
    torch.testing.assert_close(unchanged, images(), rtol=0, atol=1e-6)


def test_mistakes():
    with pytest.raises(UserError, match=r"contrast is 0 \(no change\) or more, not -1"):
        ColourJitter(brightness=0, contrast=-1, saturation=0)
