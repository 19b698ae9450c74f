"""What a split was made from, as plain data whose SHA-256 is the same on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def digest(*arrays: NDArray[Any]) -> str:
    """SHA-256 over shapes and values, integers as little-endian whatever the machine's own order."""
    sha = hashlib.sha256()
    for array in arrays:
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        sha.update(f"{plain.dtype.str}{plain.shape}".encode())
        sha.update(plain.data)
    return sha.hexdigest()


def sealed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """``facts`` with their ``sha256``: over their JSON, keys sorted, without spaces."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return {**facts, "sha256": hashlib.sha256(text.encode()).hexdigest()}
