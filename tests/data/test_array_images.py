from __future__ import annotations

import numpy as np
import torch

from oltr.data.array_images import ArrayImages


def test_images_are_copies_and_grey_ones_become_rgb() -> None:
    stored = torch.arange(2 * 3 * 4, dtype=torch.uint8).reshape(2, 3, 2, 2)
    images = ArrayImages(images=stored.clone(), labels=np.array([0, 1]), ids=["a", "b"])
    (read,) = images.read([1])
    assert torch.equal(read, stored[1])
    read.zero_()
    assert torch.equal(images.read([1])[0], stored[1])
    grey = ArrayImages(images=stored[:, :1], labels=np.array([0, 1]), ids=["a", "b"]).read([1])[0]
    assert torch.equal(grey, stored[1, :1].repeat(3, 1, 1))
    grey[0] = 0
    assert torch.equal(grey[1], stored[1, 0])


def test_take_chooses_images_and_ids_together() -> None:
    stored = torch.arange(3, dtype=torch.uint8).reshape(3, 1, 1, 1)
    taken = ArrayImages(images=stored, labels=np.array([7, 8, 9]), ids=["a", "b", "c"]).take(
        np.array([2, 0]), np.array([1, 0])
    )
    assert [int(image[0, 0, 0]) for image in taken.read(range(2))] == [2, 0]
    assert (list(taken.ids), taken.labels.tolist()) == (["c", "a"], [1, 0])
