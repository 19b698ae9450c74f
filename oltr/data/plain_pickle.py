"""Pickles of plain containers and arrays of bytes, read without running anything that they name."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from oltr.contracts import UserError


def load_plain(path: Path) -> Any:
    """What a pickle holds, its Python 2 strings as bytes; one that needs more than uint8 arrays is refused."""
    try:
        with path.open("rb") as file:
            return _arrays(_PlainUnpickler(file, encoding="bytes").load())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # a broken pickle raises anything at all
        raise UserError(f"{path} is broken or no pickle of plain data: {str(error) or type(error).__name__}") from None


class _ArrayState:
    """Stands where a pickle builds an array, and only notes what it was to be made of."""

    state: tuple[Any, ...] | None = None

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def array(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        if self.state is None:
            raise ValueError("an array without contents")
        _, shape, dtype, in_fortran_order, data = self.state
        if not isinstance(dtype, _TypeName) or dtype.name not in ("u1", b"u1"):
            raise ValueError("an array that is not of uint8")
        if not isinstance(data, bytes):
            raise ValueError("an array whose contents are not bytes")
        values = np.frombuffer(data, dtype=np.uint8)
        return values.reshape(tuple(shape), order="F" if in_fortran_order else "C")


class _TypeName:
    """Stands where a pickle builds a dtype."""

    def __init__(self, name: object, *_: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        pass


def _latin_bytes(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes at protocol 2."""
    if encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError(f"bytes in {encoding!r}")
    return text.encode("latin1")


_STAND_INS = {
    "numpy.core.multiarray._reconstruct": _ArrayState,
    "numpy._core.multiarray._reconstruct": _ArrayState,
    "numpy.ndarray": _ArrayState,
    "numpy.dtype": _TypeName,
    "_codecs.encode": _latin_bytes,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which plain data does not need") from None


def _arrays(value: Any) -> Any:
    """``value`` with the arrays in its outermost dictionary made."""
    if not isinstance(value, dict):
        return value
    return {key: item.array() if isinstance(item, _ArrayState) else item for key, item in value.items()}
