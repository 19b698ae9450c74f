"""The random numbers that images are drawn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STREAMS = ("classes", "train", "val", "test", "open", "open_val", "far")
"""The random streams of a seed; they share no number. A new one comes last: the place of each is part of its key."""


def words(seed: int, stream: str, text: str, number: int, count: int) -> NDArray[np.uint64]:
    """Random words of one image: seed and stream are the key of Philox, text and number its counter's upper words."""
    code = sum(ord(one) << 32 * place for place, one in enumerate(text))
    key = np.array([seed, STREAMS.index(stream)], dtype=np.uint64)
    counter = np.array([0, number, code, 0], dtype=np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)
