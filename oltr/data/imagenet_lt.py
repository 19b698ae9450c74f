"""ImageNet-LT (Liu et al., 2019)."""

from __future__ import annotations

from pathlib import Path

from oltr.data.image_list import ImageList, Published


class ImageNetLT(ImageList):
    """1,000 classes of ImageNet 2012 by a Pareto law, 1,280 to 5 images a class, as its published lists give them."""

    published = Published(
        images={"train": 115_846, "val": 20_000, "test": 50_000}, num_classes=1_000, largest=1_280, smallest=5
    )

    def __init__(self, *, root: Path | None, lists: str | None = None, images: str | None = None) -> None:
        super().__init__(root=root, list_name="ImageNet_LT", lists=lists, images=images)
