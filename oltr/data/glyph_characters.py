"""Which characters can stand for classes: those that no other one looks like, in any face and at any size."""

from __future__ import annotations

import hashlib
import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oltr.data.glyph_fonts import FACES, candidates, ink, mask
from oltr.data.glyph_render import ONE, affine, warp

LEAST_INK = 0.05
"""Part of the em square below which a character is hardly any ink."""
ALIKE = 0.14
"""Distance of two bitmaps, |a - b|^2 / (|a|^2 + |b|^2), below which they look the same."""
PIXELS = 20
TURN = 10
"""Degrees by which one is also turned: samples are rotated, and shapes in between two angles are near to both."""

Bitmaps = NDArray[np.uint8]


class Distinct(NamedTuple):
    """The characters that can be classes, by code point, and a digest of all bitmaps that were compared."""

    characters: tuple[str, ...]
    digest: str


@cache
def distinct_characters() -> Distinct:
    """The letters and digits of which no two look the same, as drawn by any faces, and turned within a face.

    Of characters that look the same the first by code point stays. All are compared at one size and centred, since
    position and size are random in a sample: of o and O, one stays.
    """
    digest = hashlib.sha256()
    characters = list(candidates())
    drawn: list[Bitmaps] = []
    for face in range(len(FACES)):
        inked = np.array([ink(one, face, 64) >= LEAST_INK for one in characters])
        characters, drawn = _select(characters, drawn, inked)
        drawn.append(np.stack([mask(one, face, PIXELS) for one in characters]))
        digest.update(drawn[-1].tobytes())
        characters, drawn = _select(characters, drawn, _first_of_alike(alike(drawn[-1], drawn[-1])))
    bitmaps = np.stack(drawn, axis=1)  # [N, faces, M, M]
    characters, (bitmaps,) = _select(characters, [bitmaps], _first_of_alike(_alike_across_faces(bitmaps)))
    digest.update("".join(characters).encode())
    return Distinct(tuple(characters), digest.hexdigest())


def alike(first: Bitmaps, second: Bitmaps) -> NDArray[np.bool_]:
    """Whether bitmaps [N, M, M] look like others [K, M, M], [N, K]."""
    # 16 grey levels keep the products below 2 ** 24: float32 holds them exactly, whatever order adds them up.
    a, b = ((bitmaps >> 4).reshape(len(bitmaps), -1).astype(np.float32) for bitmaps in (first, second))
    energy = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)  # [N, K]
    nearness: NDArray[np.bool_] = 2 * (a @ b.T) > np.float32(1 - ALIKE) * energy
    return nearness


def turned(bitmaps: Bitmaps, degrees: float) -> Bitmaps:
    """Bitmaps [N, M, M] of `mask` rotated, then brought back to the size and place that a mask has."""
    count, side = len(bitmaps), bitmaps.shape[-1]
    wide = side * 3 // 2
    turn = np.tile([round(ONE * f(math.radians(degrees))) for f in (math.cos, math.sin)], (count, 1))
    still, middle = np.zeros(count, dtype=np.int64), np.full((count, 2), (wide - 1) * ONE // 2)
    rotated = warp(bitmaps, affine(turn, still, still + ONE, middle, side), wide)
    (left, right), (top, bottom) = (_extent(rotated.max(axis=axis) >= 64) for axis in (1, 2))
    zoom = np.maximum(right - left, bottom - top) * ONE // PIXELS
    # Undo the offset of the drawing's centre from the middle of the wide image, in pixels of the new one.
    offset = np.stack([left + right - wide, top + bottom - wide], axis=1) * (ONE // 2) * ONE // zoom[:, None]
    return warp(bitmaps, affine(turn, still, zoom, (side - 1) * ONE // 2 - offset, side), side)


def _alike_across_faces(bitmaps: Bitmaps) -> NDArray[np.bool_]:
    """Whether characters [N, faces, M, M] look the same in any two faces, or turned in one, [N, N]."""
    count = len(bitmaps)
    pairs = np.zeros((count, count), dtype=np.bool_)
    everything = bitmaps.reshape(-1, *bitmaps.shape[2:])
    for face in range(len(FACES)):
        own = np.ascontiguousarray(bitmaps[:, face])
        pairs |= alike(own, everything).reshape(count, count, len(FACES)).any(axis=2)
        pairs |= alike(turned(own, TURN), own)
    pairs |= pairs.T.copy()
    return pairs


def _first_of_alike(pairs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep each that looks like none kept before it."""
    kept = np.zeros(len(pairs), dtype=np.bool_)
    for index, row in enumerate(pairs):
        kept[index] = not (row & kept).any()
    return kept


def _select(characters: list[str], drawn: list[Bitmaps], keep: NDArray[np.bool_]) -> tuple[list[str], list[Bitmaps]]:
    return [one for one, kept in zip(characters, keep, strict=True) if kept], [bitmaps[keep] for bitmaps in drawn]


def _extent(inked: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First inked line of each [N, L], and the one after the last."""
    return inked.argmax(axis=1), inked.shape[1] - inked[:, ::-1].argmax(axis=1)
