"""The transforms of photographs against torchvision's own, image by image."""

import pytest
import torch
from torchvision.transforms import v2

from oltr.contracts import UserError
from oltr.transforms.colour_jitter import ColourJitter
from oltr.transforms.imagenet import ImageNetTest, ImageNetTrain
from tests.levels import LEVELS, assert_same_pixels

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def photo(height=75, width=100, seed=0):
    return torch.randint(256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def colours_innermost(image):
    """The same image, stored as decoders and the cache give it."""
    return image.permute(1, 2, 0).contiguous().permute(2, 0, 1)


def test_train_image_is_a_random_resized_crop_and_flip():
    published = v2.Compose([v2.RandomResizedCrop(24, antialias=True), v2.RandomHorizontalFlip()])
    results = []
    for seed in range(8):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            ours = ImageNetTrain(size=24).image(photo())
            torch.manual_seed(seed)
            assert_same_pixels(ours, published(photo()))
            torch.manual_seed(seed)
            inner = ImageNetTrain(size=24).image(colours_innermost(photo()))
            assert torch.equal(ours, inner)
            assert inner.is_contiguous()
        results.append(ours)
    assert not any(torch.equal(results[0], other) for other in results[1:])
    assert results[0].dtype == torch.uint8


def test_train_batch_is_jitter_then_normalisation():
    images = torch.stack([photo(24, 24, seed) for seed in range(6)])
    ours = ImageNetTrain(size=24).batch(images, torch.Generator().manual_seed(3))
    jitter = ColourJitter(brightness=0.4, contrast=0.4, saturation=0.4)
    jittered = jitter(images, torch.Generator().manual_seed(3))
    expected = v2.functional.normalize(jittered, MEAN, STD)
    assert images.equal(torch.stack([photo(24, 24, seed) for seed in range(6)]))  # the stored bytes are not touched
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(75, 100), (100, 75), (10, 12)])
def test_test_image_is_the_middle_of_the_resized_image(size):
    published = v2.Compose(
        [
            v2.Resize(32, antialias=True),
            v2.CenterCrop(28),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    part = ImageNetTest(resize=32, size=28)
    ours = part.batch(part.image(photo(*size))[None], torch.Generator())[0]
    torch.testing.assert_close(ours, published(photo(*size)), rtol=0, atol=1e-5 + LEVELS / 255 / min(STD))
    inner = part.image(colours_innermost(photo(*size)))
    assert torch.equal(inner, part.image(photo(*size)))
    assert inner.is_contiguous()


def test_small_images_are_enlarged():
    assert ImageNetTrain().image(photo(20, 30)).shape == (3, 224, 224)
    assert ImageNetTest().image(photo(20, 30)).shape == (3, 224, 224)


@pytest.mark.parametrize(
    ("part", "options", "message"),
    [
        (ImageNetTest, {"resize": 200}, "size 224 does not fit into resize 200: resize is at least 224"),
        (ImageNetTrain, {"size": 0}, "size is at least 1 pixel, not 0"),
        (ImageNetTrain, {"scale": (0.5, 0.1)}, "scale is the least and largest share of the image"),
        (ImageNetTrain, {"scale": (0.5,)}, "scale is the least and largest share of the image"),
        (ImageNetTrain, {"brightness": -1}, "brightness is 0"),
    ],
)
def test_mistakes(part, options, message):
    with pytest.raises(UserError, match=message):
        part(**options)
