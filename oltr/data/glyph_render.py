"""Characters, or other patterns, drawn as images in integer arithmetic only: the same bytes on every machine."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oltr.data.glyph_fonts import FACES, MARGIN, mask

GENERATOR = 1
"""Version of what is drawn here; raised by any change that alters a byte."""
ONE = 1 << 16
"""1 in the fixed-point numbers of this file."""
ANGLE = 20
SMALLEST, LARGEST = 12, 22
"""Longer side of a character, in parts of 28 of the image's."""
SHEAR = ONE // 5
JITTER = 30
CONTRAST = 85
FAINTEST, STRONGEST = 3, 32
"""Bounds of an image's noise: its half width, in grey levels."""
HEAD = 32
"""Words of an image's random stream that say what is drawn; the words after them are its noise."""
TURNS = np.array(
    [
        [round(ONE * f(math.radians(step / 4))) for f in (math.cos, math.sin)]
        for step in range(-4 * ANGLE, 4 * ANGLE + 1)
    ]
)
"""Cosine and sine of the rotations that occur, every quarter of a degree, [T, 2]."""

Integers = NDArray[np.int64]


def render(texts: Sequence[str], words: NDArray[np.uint64], size: int) -> NDArray[np.uint8]:
    """Images of ``texts`` from their random words [B, W], uint8 [B, 3, size, size].

    Face, size, rotation, shear, position, colours, background and noise are random; the ink's luminance is at least
    ``CONTRAST - JITTER`` away from that of the background at any place, before noise.
    """
    draws = draws_of(words)
    faces = between(draws[:, 0], 0, len(FACES) - 1)
    pixels = size * LARGEST // 28
    masks = np.stack([mask(text, int(face), pixels) for text, face in zip(texts, faces, strict=True)])
    alpha = warp(masks, _matrices(draws[:, 1:6], pixels, size), size).astype(np.uint16)
    return painted(alpha + (alpha >> 7), words)


def painted(alpha: NDArray[np.uint16], words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Ink on a background, with noise, where ``alpha`` [B, size, size], 0 to 256, says how much ink there is.

    The first six draws and those from 88 on are left to what makes ``alpha``.
    """
    size = alpha.shape[-1]
    raw, draws = _raw(words), draws_of(words)
    alpha = alpha[:, None]
    base, ink = _colours(draws[:, 8:11], draws[:, 64:88].reshape(-1, 8, 3))
    image = _background(base, draws[:, 16:64].reshape(-1, 3, 4, 4), size)
    image *= 256 - alpha
    image += alpha * ink[:, :, None, None].astype(np.uint16)
    image >>= 8
    noise = raw[:, 8 * HEAD :][:, : 3 * size * size].reshape(image.shape).astype(np.int16)
    noise -= 128
    noise *= between(draws[:, 6], FAINTEST, STRONGEST).astype(np.int16)[:, None, None, None]
    noise >>= 7
    noise += image.view(np.int16)
    return np.clip(noise, 0, 255, out=noise).astype(np.uint8)


def draws_of(words: NDArray[np.uint64]) -> Integers:
    """What says how images are drawn: numbers below 65,536, [B, 128]."""
    draws: Integers = _raw(words)[:, : 8 * HEAD].copy().view("<u2").astype(np.int64)
    return draws


def words_of(size: int) -> int:
    """Random words that an image of ``size`` takes."""
    return HEAD + -(-3 * size * size // 8)


def warp(masks: NDArray[np.uint8], matrices: Integers, size: int) -> NDArray[np.uint8]:
    """Masks [B, M, M] seen through affine maps, bilinearly, uint8 [B, size, size].

    ``matrices`` [B, 2, 3] takes an output pixel (x, y, 1) to a mask pixel (x, y), in units of 1 / ONE; outside a mask
    is as its border.
    """
    count, side = len(masks), masks.shape[-1]
    grid = np.arange(size)
    along = matrices[:, :, :1] * grid  # [B, 2, X]
    down = matrices[:, :, 1:2] * grid + matrices[:, :, 2:]  # [B, 2, Y]
    place = (along[:, :, None, :] + down[:, :, :, None]).astype(np.int32)  # [B, 2, Y, X]
    np.clip(place, 0, (side - 1) * ONE - 1, out=place)
    part = (place >> 8) & 255
    place >>= 16
    index = place[:, 1] * side
    index += place[:, 0]
    index += (np.arange(count, dtype=np.int32) * side * side)[:, None, None]
    flat, across, downwards = masks.reshape(-1).astype(np.int32), part[:, 0], part[:, 1]
    upper, lower = flat[index], flat[index + side]
    upper = (upper << 8) + (flat[index + 1] - upper) * across
    lower = (lower << 8) + (flat[index + side + 1] - lower) * across
    seen: NDArray[np.uint8] = (((upper << 8) + (lower - upper) * downwards) >> 16).astype(np.uint8)
    return seen


def affine(turn: Integers, shear: Integers, zoom: Integers, centre: Integers, side: int) -> Integers:
    """Maps of `warp` [B, 2, 3] that draw a mask of ``side`` rotated, sheared and 1 / ``zoom`` large about ``centre``.

    ``turn`` [B, 2] is cosine and sine, ``centre`` [B, 2] the output pixel (x, y) of the mask's centre.
    """
    cosine, sine = turn[:, 0], turn[:, 1]
    rows = [cosine + (shear * sine >> 16), sine - (shear * cosine >> 16), -sine, cosine]
    linear = (np.stack(rows, axis=1) * zoom[:, None] >> 16).reshape(-1, 2, 2)
    offset = (side - 1) * ONE // 2 - ((linear * centre[:, None, :]).sum(axis=2) >> 16)
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def _matrices(draws: Integers, pixels: int, size: int) -> Integers:
    """Random affine maps [B, 2, 3] from five draws [B, 5]."""
    turn = TURNS[between(draws[:, 0], 0, len(TURNS) - 1)]
    shear = between(draws[:, 1], -SHEAR, SHEAR)
    long_side = between(draws[:, 2], size * SMALLEST * ONE // 28, pixels * ONE)
    room = (size * ONE - long_side) // 2
    centre = (size - 1) * ONE // 2 + np.stack([between(draws[:, axis], -room, room) for axis in (3, 4)], axis=1)
    return affine(turn, shear, (pixels << 32) // long_side, centre, pixels + 2 * MARGIN)


def _colours(base: Integers, inks: Integers) -> tuple[Integers, Integers]:
    """Background [B, 3] and the first of the drawn inks [B, K, 3] that stands out; else black or white."""
    base, inks = between(base, 0, 255), between(inks, 0, 255)
    light = _luminance(base)
    stands_out = np.abs(_luminance(inks) - light[:, None]) >= CONTRAST
    first = inks[np.arange(len(inks)), stands_out.argmax(axis=1)]
    plain = np.where(light < 128, 255, 0)[:, None]
    return base, np.where(stands_out.any(axis=1)[:, None], first, plain)


def _background(base: Integers, cells: Integers, size: int) -> NDArray[np.uint16]:
    """Four by four cells of colours near ``base``, blended over the image, [B, 3, size, size]."""
    colours = np.clip(base[:, :, None, None] + between(cells, -JITTER, JITTER), 0, 255)
    return blended(colours, size)


def blended(colours: Integers, size: int) -> NDArray[np.uint16]:
    """Square cells of values up to 255, [..., K, K], blended over an image, [..., size, size]."""
    count = colours.shape[-1]
    place = np.clip((2 * np.arange(size) + 1) * 32 * count // size - 32, 0, (count - 1) * 64)  # cells, in 1 / 64
    weights = np.clip(64 - np.abs(place[:, None] - 64 * np.arange(count)), 0, 64).astype(np.float32)  # [size, K]
    # Whole numbers below 2 ** 24 throughout: exact in float32, in whatever order a matrix product adds them.
    blend: NDArray[np.uint16] = ((weights @ colours.astype(np.float32)) @ weights.T * (1 / 4096)).astype(np.uint16)
    return blend


def _raw(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(words.astype("<u8")).view(np.uint8)


def between(draws: Integers, low: int | Integers, high: int | Integers) -> Integers:
    """Uniform integers from ``low`` to ``high``, both included, of draws below 65,536."""
    return low + (draws * (high - low + 1) >> 16)


def _luminance(colours: Integers) -> Integers:
    """Brightness, 0 to 255, of colours [..., 3] (ITU-R BT.601)."""
    light: Integers = (colours * np.array([299, 587, 114])).sum(axis=-1) // 1000
    return light
