"""The characters that every DejaVu face draws, as bitmaps that depend on matplotlib's fonts and rasteriser alone."""

from __future__ import annotations

import hashlib
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font, LoadFlags
from numpy.typing import NDArray

from oltr.contracts import UserError

FACES = tuple(
    f"DejaVu{face}.ttf"
    for face in (
        *("Sans", "Sans-Bold", "Sans-Oblique", "Sans-BoldOblique"),
        *("SansMono", "SansMono-Bold", "SansMono-Oblique", "SansMono-BoldOblique"),
        *("Serif", "Serif-Bold", "Serif-Italic", "Serif-BoldItalic"),
    )
)
MARGIN = 2
"""Empty pixels around the drawing in a mask."""
# Modifier letters (Lm) are left out: small raised copies of letters.
CATEGORIES = frozenset({"Lu", "Ll", "Lt", "Lo", "Nd"})


def font_paths() -> tuple[Path, ...]:
    """Where matplotlib keeps the twelve faces, in the order of FACES."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return tuple(folder / face for face in FACES)


@cache
def fonts_checksum() -> str:
    """SHA-256 of the twelve font files."""
    digest = hashlib.sha256()
    for path in font_paths():
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def candidates() -> tuple[str, ...]:
    """Letters and digits that all twelve faces draw, by code point."""
    shared = set.intersection(*(set(_font(face).get_charmap()) for face in range(len(FACES))))
    return tuple(chr(code) for code in sorted(shared) if unicodedata.category(chr(code)) in CATEGORIES)


def ink(character: str, face: int, pixels: int) -> float:
    """Inked part of the em square, rendered at ``pixels`` an em."""
    bitmap = _bitmap(_font(face), character, pixels)
    return int(bitmap.sum(dtype=np.int64)) / (255 * pixels**2)


@lru_cache(maxsize=2048)
def mask(text: str, face: int, pixels: int) -> NDArray[np.uint8]:
    """One character, or two side by side, filling a centred box of ``pixels``; uint8 [pixels + 2 * MARGIN] * 2.

    A character's longer side is ``pixels``, whatever its size in the font. The array is shared: do not write to it.
    """
    side = pixels + 2 * MARGIN
    drawn = np.zeros((side, side), dtype=np.uint8)
    if len(text) == 1:
        _paste(drawn, _fitted(text, face, pixels, pixels), side // 2)
    else:
        for part, character in enumerate(text):
            bitmap = _fitted(character, face, pixels * 15 // 32, pixels * 3 // 4)
            _paste(drawn, bitmap, MARGIN + pixels * (2 * part + 1) // 4)
    drawn.flags.writeable = False
    return drawn


def _fitted(character: str, face: int, width: int, height: int) -> NDArray[np.uint8]:
    """The character at the largest size at which it fits the box, trimmed, [h, w]."""
    font = _font(face)
    left, bottom, right, top = font.load_char(ord(character), LoadFlags.NO_SCALE).bbox
    em = min(width / (right - left), height / (top - bottom)) * font.units_per_EM
    bitmap = _bitmap(font, character, em)
    rows, columns = np.flatnonzero(bitmap.any(axis=1)), np.flatnonzero(bitmap.any(axis=0))
    return bitmap[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _paste(drawn: NDArray[np.uint8], bitmap: NDArray[np.uint8], column: int) -> None:
    """Put ``bitmap`` in the middle of the rows and around ``column``, clear of the outermost pixels."""
    height, width = (min(length, len(drawn) - 2) for length in bitmap.shape)
    top, left = (len(drawn) - height) // 2, max(1, column - width // 2)
    width = min(width, len(drawn) - 1 - left)
    drawn[top : top + height, left : left + width] = bitmap[:height, :width]


def _bitmap(font: FT2Font, character: str, em: float) -> NDArray[np.uint8]:
    """The character at ``em`` pixels an em, unhinted: hinting would depend on FreeType's settings."""
    font.set_size(em, 72)
    font.set_text(character, 0, flags=LoadFlags.NO_HINTING)
    font.draw_glyphs_to_bitmap(antialiased=True)
    return np.asarray(font.get_image())


@cache
def _font(face: int) -> FT2Font:
    path = font_paths()[face]
    if not path.is_file():
        raise UserError(f"glyphs: {path} is missing; reinstall matplotlib with its fonts (pip install matplotlib)")
    return FT2Font(str(path))
