"""Places-LT (Liu et al., 2019)."""

from __future__ import annotations

from pathlib import Path

from oltr.data.image_list import ImageList, Published


class PlacesLT(ImageList):
    """365 classes of Places-2 by a Pareto law, 4,980 to 5 images a class, as its published lists give them."""

    published = Published(
        images={"train": 62_500, "val": 7_300, "test": 36_500, "open": 6_600},
        num_classes=365,
        largest=4_980,
        smallest=5,
    )

    def __init__(self, *, root: Path | None, lists: str | None = None, images: str | None = None) -> None:
        super().__init__(root=root, list_name="Places_LT", lists=lists, images=images)
