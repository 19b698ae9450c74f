"""The arrays that metrics accept, checked once, with errors that name the argument."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oltr.contracts import OPEN, UserError

IntArray = NDArray[np.integer[Any]]
FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]
Groups = Mapping[str, BoolArray]
"""Shot groups: a mask over the classes, [C], by name."""


def class_indices(name: str, values: IntArray, num_classes: int, *, allow_open: bool) -> NDArray[np.int64]:
    """``values`` as class indices [N], each below ``num_classes``; OPEN where that is allowed."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.size > 0 and array.dtype.kind not in "iu"):
        raise UserError(f"{name} must be integers [N], not {array.dtype} of shape {array.shape}")
    indices: NDArray[np.int64] = array.astype(np.int64)
    lowest = OPEN if allow_open else 0
    wrong = np.flatnonzero((indices < lowest) | (indices >= num_classes))
    if len(wrong):
        hint = "" if allow_open or indices[wrong[0]] != OPEN else "; leave open images out"
        raise UserError(
            f"{name}[{wrong[0]}] is {indices[wrong[0]]}, but classes go from {lowest} to {num_classes - 1}{hint}"
        )
    return indices


def score_array(name: str, values: FloatArray) -> FloatArray:
    """``values`` as scores [N] that can be ranked: infinite ones can, NaN cannot."""
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iuf":
        raise UserError(f"{name} must be numbers [N], not {array.dtype} of shape {array.shape}")
    if array.dtype.kind != "f" or array.dtype.itemsize < 4:
        array = array.astype(np.float64)
    missing = np.flatnonzero(np.isnan(array))
    if len(missing):
        raise UserError(f"{name}[{missing[0]}] is not a number ({len(missing)} of {len(array)} are NaN)")
    return array


def mask_array(name: str, values: BoolArray) -> BoolArray:
    """``values`` as a boolean mask [N]."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.size > 0 and array.dtype != np.bool_):
        raise UserError(f"{name} must be true or false for each of N images, not {array.dtype} of shape {array.shape}")
    return array.astype(np.bool_)


def check_lengths(**arrays: NDArray[Any]) -> None:
    """Raises unless all ``arrays`` are equally long."""
    if len({len(array) for array in arrays.values()}) > 1:
        lengths = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
        raise UserError(f"one value for each image is needed, but the lengths differ: {lengths}")


def class_count(groups: Groups) -> int:
    """The number of classes that the masks of ``groups`` are over."""
    shapes = {np.shape(mask) for mask in groups.values()}
    if (
        len(shapes) != 1
        or len(next(iter(shapes))) != 1
        or any(np.asarray(mask).dtype != bool for mask in groups.values())
    ):
        raise UserError(f"groups must be masks over the same classes, not arrays of shapes {sorted(shapes)}")
    return int(next(iter(shapes))[0])


def defined(value: float) -> float | None:
    """``value`` as a plain number, None for NaN."""
    return None if math.isnan(value) else float(value)


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """``part / whole``, entry by entry; NaN where ``whole`` is 0."""
    result = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=result, where=np.asarray(whole) > 0)
    return result


def mean(values: NDArray[Any]) -> float | None:
    """The mean of the entries of ``values`` that are not NaN, None where there are none."""
    present = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return float(present.mean()) if present.size else None
