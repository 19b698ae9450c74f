"""The random part of an image against torchvision's, draw by draw."""

import pytest
import torch
from torchvision.transforms import v2

from oltr.transforms.random_part import random_part

SIZES = [(256, 256), (75, 100), (100, 75), (31, 97), (10, 300), (300, 10), (11, 300), (300, 11), (1, 1)]


@pytest.mark.parametrize("scale", [(0.08, 1.0), (1.0, 1.0), (0.5, 0.6)], ids=str)
@pytest.mark.parametrize("size", SIZES)
def test_a_random_part_is_where_torchvision_takes_it(size, scale):
    """Of long images no draw fits, and the middle is taken."""
    image, theirs = torch.arange(3 * size[0] * size[1]).view(3, *size), v2.RandomResizedCrop(8, scale=scale)
    with torch.random.fork_rng():
        for seed in range(100):
            torch.manual_seed(seed)
            place = theirs.make_params([image])
            torch.manual_seed(seed)
            part = random_part(image, scale)
            rows, columns = (
                slice(place[at], place[at] + place[by]) for at, by in (("top", "height"), ("left", "width"))
            )
            assert torch.equal(part, image[:, rows, columns])
            assert part.untyped_storage().data_ptr() == image.untyped_storage().data_ptr()
