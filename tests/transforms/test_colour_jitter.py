"""Colour jitter of a batch against torchvision's of one image, step by step and as a whole."""

import itertools

import pytest
import torch
from torchvision.transforms.v2 import functional as of_one_image

from oltr.contracts import UserError
from oltr.transforms.colour_jitter import ColourJitter, adjust_brightness, adjust_contrast, adjust_saturation

STEPS = {
    adjust_brightness: of_one_image.adjust_brightness,
    adjust_contrast: of_one_image.adjust_contrast,
    adjust_saturation: of_one_image.adjust_saturation,
}


def stored(count: int = 11) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 9, 7), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def images(count: int = 11) -> torch.Tensor:
    return stored(count) / 255


@pytest.mark.parametrize("adjust", STEPS)
def test_each_step_is_torchvisions(adjust):
    factors = torch.linspace(0, 2, 11)
    expected = [STEPS[adjust](image, float(factor)) for image, factor in zip(images(), factors, strict=True)]
    torch.testing.assert_close(adjust(images(), factors), torch.stack(expected), rtol=0, atol=2e-6)


@pytest.mark.parametrize("adjust", STEPS)
def test_an_image_by_itself_is_as_in_a_batch(adjust):
    """As on a CPU, and as on a GPU; a factor of at most 1 spares the single image a pass, and must not be missed."""
    for place, factor in enumerate(torch.linspace(0, 2, 11).tolist()):
        alone = adjust(images()[place], factor)
        torch.testing.assert_close(alone, adjust(images(), torch.full((11,), factor))[place], rtol=0, atol=1e-6)
        assert alone.min() >= 0
        assert alone.max() <= 1 + 1e-6


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
    assert strong.min() == 0


def test_strength_zero_changes_nothing():
    unchanged = ColourJitter(brightness=0, contrast=0, saturation=0)(stored(), torch.Generator())
    torch.testing.assert_close(unchanged, images(), rtol=0, atol=1e-6)


def test_mistakes():
    with pytest.raises(UserError, match=r"contrast is 0 \(no change\) or more, not -1"):
        ColourJitter(brightness=0, contrast=-1, saturation=0)
