"""The transforms of small images: shift, mirror image, size and normalisation."""

from collections import Counter

import pytest
import torch
from torch.nn import functional
from torchvision.transforms.v2 import functional as images_of

from oltr.contracts import UserError
from oltr.transforms.cifar import CifarTest, CifarTrain
from oltr.transforms.plain import Plain
from oltr.transforms.shift import Shift
from tests.levels import assert_same_pixels

CIFAR_MEAN, CIFAR_STD = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]


def stored(count=5, height=32, width=32):
    return torch.randint(256, (count, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


def normalised(images, mean, std):
    return images_of.normalize(images.float() / 255, mean, std)


def crops(image, padding):
    """Every crop of the padded image, with its mirror image: (down, right, mirrored) -> image."""
    height, width = image.shape[-2:]
    padded = functional.pad(image, [padding] * 4)
    for down in range(2 * padding + 1):
        for right in range(2 * padding + 1):
            crop = padded[:, down : down + height, right : right + width]
            yield (down, right, False), crop
            yield (down, right, True), crop.flip(-1)


def test_shift_draws_every_crop_and_mirror_image_alike():
    image = stored(1, 6, 5)[0]
    many = Shift(padding=1, flip=True)(image.expand(9000, -1, -1, -1), torch.Generator().manual_seed(0))
    names = {crop.numpy().tobytes(): name for name, crop in crops(image, 1)}
    drawn = Counter(names[one.numpy().tobytes()] for one in many)
    assert len(drawn) == 18
    assert all(abs(count - 500) < 5 * 21.8 for count in drawn.values())  # five standard deviations


def test_shift_keeps_each_image_to_itself():
    images = stored(40, 7, 9)
    for image, shifted in zip(images, Shift(padding=2, flip=True)(images, torch.Generator()), strict=True):
        assert any(torch.equal(shifted, crop) for _, crop in crops(image, 2))


def test_no_padding_and_no_flip_draw_nothing():
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert torch.equal(Shift(padding=0, flip=False)(stored(), generator), stored())
    assert torch.equal(generator.get_state(), before)


def test_cifar_train_is_a_crop_a_flip_and_the_recipes_normalisation():
    ours = CifarTrain().batch(stored(), torch.Generator().manual_seed(4))
    shifted = Shift(padding=4, flip=True)(stored(), torch.Generator().manual_seed(4))
    assert not torch.equal(shifted, stored())
    torch.testing.assert_close(ours, normalised(shifted, CIFAR_MEAN, CIFAR_STD), rtol=0, atol=1e-5)


def test_cifar_test_only_normalises():
    ours = CifarTest().batch(CifarTest().image(stored()[0])[None], torch.Generator())
    torch.testing.assert_close(ours, normalised(stored(1), CIFAR_MEAN, CIFAR_STD), rtol=0, atol=1e-5)


def test_other_sizes_are_resized_with_antialias():
    photo = stored(1, 70, 90)[0]
    assert_same_pixels(CifarTrain().image(photo), images_of.resize(photo, [32, 32], antialias=True))
    for size in (64, 70, 90):  # of which two are one of its sides
        expected = images_of.resize(photo, [size, size], antialias=True)
        assert_same_pixels(Plain(size=size).image(photo), expected)
        inner = Plain(size=size).image(photo.permute(1, 2, 0).contiguous().permute(2, 0, 1))
        assert_same_pixels(inner, expected)
        assert inner.is_contiguous()
    assert Plain().image(photo) is photo


def test_plain_defaults_keep_orientation_and_place():
    ours = Plain().batch(stored(), torch.Generator())
    torch.testing.assert_close(ours, (stored().float() / 255 - 0.5) / 0.25, rtol=0, atol=1e-5)


def test_plain_can_shift_without_mirror_images():
    shifted = Plain(padding=1, mean=[0.0], std=[1.0]).batch(stored(60, 5, 5), torch.Generator()).mul(255).round()
    for image, one in zip(stored(60, 5, 5), shifted, strict=True):
        assert any(torch.equal(one.byte(), crop) for (_, _, mirrored), crop in crops(image, 1) if not mirrored)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size is at least 1 pixel, not 0"),
        ({"padding": -1}, "padding is 0 or more pixels, not -1"),
        ({"mean": [0.1, 0.2]}, "mean takes one number, or three for red, green and blue, not 2"),
        ({"std": [0.0]}, "std is above 0, not 0"),
        ({"std": []}, "std takes one number, or three"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(UserError, match=message):
        Plain(**options)
