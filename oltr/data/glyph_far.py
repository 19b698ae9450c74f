"""Images that show no character: patterns in the colours, contrast and noise of the glyphs, so far by content alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oltr.contracts import OPEN
from oltr.data.glyph_render import ONE, Integers, between, blended, draws_of, painted, words_of
from oltr.data.glyph_streams import words

PIXELS_AT_ONCE = 1 << 15
TURNS = 1024
DIRECTIONS = np.array(
    [[round(ONE * f(2 * math.pi * step / TURNS)) for f in (math.cos, math.sin)] for step in range(TURNS)]
)
"""Cosine and sine of the directions that occur, all the way round, [TURNS, 2]."""
SHORTEST, LONGEST = 4, 12
"""Period of a pattern that repeats, in parts of 28 of the image's side; at least LEAST_PERIOD pixels."""
LEAST_PERIOD = 3
SMALLEST, LARGEST = 3, 6
"""Distance of a polygon's sides from its centre, in parts of 28 of the image's side."""
POLYGONS, CELLS = 3, 6


@dataclass(kw_only=True, eq=False)
class FarSet:
    """Patterns that are drawn as they are read; each follows from the seed, its kind and its number alone."""

    seed: int
    image_size: int
    kinds: NDArray[np.int64]
    """Place of each image's kind in KINDS, [N]."""
    numbers: NDArray[np.int64]
    labels: NDArray[np.int64]
    ids: Sequence[str]

    def read(self, indices: Sequence[int]) -> list[Tensor]:
        block = max(1, PIXELS_AT_ONCE // self.image_size**2)
        images: list[Tensor] = []
        for start in range(0, len(indices), block):
            chosen = np.asarray(indices[start : start + block])
            images.extend(torch.from_numpy(self._draw(self.kinds[chosen], self.numbers[chosen])))
        return images

    def _draw(self, kinds: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        size = self.image_size
        random = np.stack(
            [
                words(self.seed, "far", chr(kind), number, words_of(size))
                for kind, number in zip(kinds.tolist(), numbers.tolist(), strict=True)
            ]
        )
        draws = draws_of(random)
        alpha = np.empty((len(kinds), size, size), dtype=np.uint16)
        for kind in np.unique(kinds):
            own = kinds == kind
            alpha[own] = PATTERNS[KINDS[kind]](draws[own], size)
        return painted(alpha, random)


def far_set(count: int, *, seed: int, image_size: int) -> FarSet:
    """``count`` patterns, as many of each kind; of those that do not divide, one of each of the first kinds."""
    kinds = np.sort(np.arange(count, dtype=np.int64) % len(KINDS))
    numbers = np.arange(count, dtype=np.int64) - np.searchsorted(kinds, kinds)
    return FarSet(
        seed=seed,
        image_size=image_size,
        kinds=kinds,
        numbers=numbers,
        labels=np.full(count, OPEN, dtype=np.int64),
        ids=[f"far/{KINDS[kind]}/{number:05d}" for kind, number in zip(kinds, numbers, strict=True)],
    )


def _stripes(draws: Integers, size: int) -> Integers:
    """Parallel stripes in any direction."""
    return _crisp(_wave(_along(_direction(draws[:, 0]), size), draws[:, 1], draws[:, 2], size))


def _checkers(draws: Integers, size: int) -> Integers:
    """A checkerboard, turned."""
    turn = _direction(draws[:, 0])
    across = np.stack([-turn[:, 1], turn[:, 0]], axis=1)
    first, second = (
        _wave(_along(way, size), draws[:, 1], shift, size)
        for way, shift in ((turn, draws[:, 2]), (across, draws[:, 3]))
    )
    return _crisp(np.sign(first) * np.sign(second) * np.minimum(np.abs(first), np.abs(second)))


def _rings(draws: Integers, size: int) -> Integers:
    """Circles about one point anywhere in the image."""
    half = size * ONE // 2
    place = _pixels(size) >> 8  # in 1 / 256 pixels, so that squares stay exact
    right, down = (place - (between(draws[:, axis], -half, half) >> 8)[:, None] for axis in (2, 3))
    squares = (right * right)[:, None, :] + (down * down)[:, :, None]
    # A square root is rounded rightly by every processor, and these are far below 2 ** 53: rounded down, it is exact.
    distance = np.sqrt(squares.astype(np.float64)).astype(np.int64) << 8
    return _crisp(_wave(distance, draws[:, 1], draws[:, 0], size))


def _blobs(draws: Integers, size: int) -> Integers:
    """Cells of random values, blended and parted at their middle."""
    cells = between(draws[:, 88 : 88 + CELLS**2], 0, 255).reshape(-1, CELLS, CELLS)
    return _ink((blended(cells, size).astype(np.int64) - 127) * 8)


def _polygons(draws: Integers, size: int) -> Integers:
    """A few regular polygons of three to six sides, which may overlap."""
    room = size * ONE * 3 // 8
    inside = []
    for part in range(POLYGONS):
        right, down, turn, radius, corners = draws[:, 88 + 5 * part : 93 + 5 * part].T
        sides = between(corners, 3, 6)
        centre = np.stack([between(right, -room, room), between(down, -room, room)], axis=1)
        reach = between(radius, size * ONE * SMALLEST // 28, size * ONE * LARGEST // 28)
        first = between(turn, 0, TURNS - 1)
        ways = [DIRECTIONS[(first + side % sides * TURNS // sides) % TURNS] for side in range(6)]
        beyond = [_along(way, size) - ((way * centre).sum(axis=1) >> 16)[:, None, None] for way in ways]
        inside.append(reach[:, None, None] - np.maximum.reduce(beyond))
    return _crisp(np.maximum.reduce(inside))


def _gradients(draws: Integers, size: int) -> Integers:
    """A passage from one colour to the other, slow or quick, in any direction."""
    span = between(draws[:, 1], size * ONE // 2, size * ONE * 3 // 2)
    middle = between(draws[:, 2], -size * ONE // 4, size * ONE // 4)
    along = _along(_direction(draws[:, 0]), size) - middle[:, None, None]
    return _ink((along << 8) // span[:, None, None])


PATTERNS: dict[str, Callable[[Integers, int], Integers]] = {
    "stripes": _stripes,
    "checkers": _checkers,
    "rings": _rings,
    "blobs": _blobs,
    "polygons": _polygons,
    "gradients": _gradients,
}
"""How much ink is where, 0 to 256, [B, size, size], from draws [B, 128], by kind."""
KINDS = tuple(PATTERNS)


def _pixels(size: int) -> Integers:
    """Places of pixels from the middle of the image, [size]; 1 is ONE here and below."""
    return (2 * np.arange(size, dtype=np.int64) + 1 - size) * (ONE // 2)


def _direction(draws: Integers) -> Integers:
    turns: Integers = DIRECTIONS[between(draws, 0, TURNS - 1)]
    return turns


def _along(direction: Integers, size: int) -> Integers:
    """How far each pixel lies in a direction [B, 2] from the middle, [B, size, size]."""
    steps = direction[:, :, None] * _pixels(size)
    return (steps[:, 0, None, :] + steps[:, 1, :, None]) >> 16


def _wave(place: Integers, period: Integers, shift: Integers, size: int) -> Integers:
    """How far places [B, size, size] are inside the inked half of each period, below 0 outside; ends drawn, [B]."""
    long = between(period, *(max(LEAST_PERIOD * ONE, size * ONE * part // 28) for part in (SHORTEST, LONGEST)))
    start = between(shift, 0, long)[:, None, None]
    long = long[:, None, None]
    inside: Integers = (np.abs(2 * ((place + start) % long) - long) - long // 2) // 2
    return inside


def _crisp(inside: Integers) -> Integers:
    """Ink where a distance is above 0, with an edge a pixel wide."""
    return _ink(inside >> 8)


def _ink(above: Integers) -> Integers:
    """Half as much ink as there can be at 0, from none to all of it, 0 to 256."""
    ink: Integers = np.clip(128 + above, 0, 256)
    return ink
