"""Resizing and laying out of images against torchvision and torch, byte by byte."""

import pytest
import torch
from torchvision.transforms import v2

from oltr import pixels
from oltr.pixels import colours_outermost, middle, resized

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
        assert torch.equal(outer, expected)
        assert torch.equal(inner, expected)
        if size != (1, 1):  # which has both layouts at once
            assert outer.is_contiguous()
            assert inner.permute(1, 2, 0).is_contiguous()


def test_colours_are_put_outermost_whatever_the_layout(opencv):
    inner = photo(30, 40, innermost=True)
    parts = [inner, inner[:, 3:20, 5:11], photo(30, 40), photo(30, 40)[:, 1:9, 2:7], inner[:, ::2, ::2], inner.flip(-1)]
    for part in [*parts, *(photo(*size, innermost=True) for size in ((1, 1), (5, 1), (1, 5)))]:
        before = part.clone()
        turned = colours_outermost(part)
        assert turned.is_contiguous()
        assert torch.equal(turned, before)
        assert torch.equal(part, before)
    if opencv:
        assert len(opencv) >= 2  # the image, and the part of which rows are further apart than they are long


@pytest.mark.usefixtures("opencv")
def test_what_is_turned_is_a_copy():
    inner = photo(5, 4, innermost=True)
    colours_outermost(inner).zero_()
    assert torch.equal(inner, photo(5, 4))


@pytest.mark.parametrize("size", SIZES)
def test_the_middle_is_torchvisions(size):
    for wanted in {1, min(size), max(1, min(size) // 2), max(1, min(size) - 1)}:
        assert torch.equal(middle(photo(*size), wanted), v2.functional.center_crop(photo(*size), [wanted]))
