"""Resizing and laying out of images against torchvision and torch, byte by byte."""

import sys

import pytest
import torch
from torchvision.transforms import v2

from oltr import pixels
from oltr.pixels import colours_outermost, middle, resized
from tests.levels import assert_same_pixels

SIZES = [(256, 256), (75, 100), (100, 75), (31, 97), (10, 300), (300, 10), (1, 1)]


def photo(height, width, *, innermost=False):
    generator = torch.Generator().manual_seed(height + width)
    image = torch.randint(256, (height, width, 3), dtype=torch.uint8, generator=generator).permute(2, 0, 1)
    return image if innermost else image.contiguous()


@pytest.fixture(params=["with OpenCV", "without"])
def opencv(request, monkeypatch):
    if request.param == "without":
        monkeypatch.setattr(pixels, "_opencv", lambda: None)
        return []
    library = pytest.importorskip("cv2")
    calls, split = [], library.split
    monkeypatch.setattr(library, "split", lambda *given: calls.append(1) or split(*given))
    return calls


@pytest.mark.parametrize("size", SIZES)
def test_resizing_is_torchvisions_and_leaves_the_layout(size):
    for wanted in ((24, 24), (40, 7), (224, 300), size):
        expected = v2.functional.resize(photo(*size), list(wanted), antialias=True)
        outer, inner = (resized(photo(*size, innermost=innermost), wanted) for innermost in (False, True))
        assert_same_pixels(outer, expected)
        assert_same_pixels(inner, expected)
        if size != (1, 1):  # which has both layouts at once
            assert outer.is_contiguous()
            assert inner.permute(1, 2, 0).is_contiguous()


def test_colours_are_put_outermost_whatever_the_layout(opencv, request):
    inner = photo(30, 40, innermost=True)
    parts = [inner, inner[:, 3:20, 5:11], photo(30, 40), photo(30, 40)[:, 1:9, 2:7], inner[:, ::2, ::2], inner.flip(-1)]
    for part in [*parts, *(photo(*size, innermost=True) for size in ((1, 1), (5, 1), (1, 5)))]:
        before = part.clone()
        turned = colours_outermost(part)
        assert turned.is_contiguous()
        assert torch.equal(turned, before)
        assert torch.equal(part, before)
    turned_by_opencv = 6  # the image, a part of it, mirrored, and three that are a pixel wide or high
    assert len(opencv) == (turned_by_opencv if "with OpenCV" in request.node.name else 0)


@pytest.mark.usefixtures("opencv")
def test_what_opencv_would_not_turn_is_turned_too():
    for image in (torch.rand(4, 5, 3).permute(2, 0, 1), torch.arange(20).view(4, 5, 1).permute(2, 0, 1)):
        assert torch.equal(colours_outermost(image), image)


def test_opencv_may_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    pixels._opencv.cache_clear()
    try:
        assert torch.equal(colours_outermost(photo(30, 40, innermost=True)), photo(30, 40))
        assert pixels.turner().startswith(
            "torch, which takes it three times as long as OpenCV (pip install oltr[fast])"
        )
    finally:
        pixels._opencv.cache_clear()


@pytest.mark.usefixtures("opencv")
def test_what_is_turned_is_a_copy():
    inner = photo(5, 4, innermost=True)
    colours_outermost(inner).zero_()
    assert torch.equal(inner, photo(5, 4))


@pytest.mark.parametrize("size", SIZES)
def test_the_middle_is_torchvisions(size):
    for wanted in {1, min(size), max(1, min(size) // 2), max(1, min(size) - 1)}:
        assert torch.equal(middle(photo(*size), wanted), v2.functional.center_crop(photo(*size), [wanted]))
