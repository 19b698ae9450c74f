"""Files of weights that other programs wrote: tensors and plain numbers are read, whatever else stands in them."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from oltr.contracts import UserError

SCALAR = np.float64(0).__reduce__()[0]
"""What a stored NumPy number is made with: old checkpoints keep an accuracy as one. It runs nothing."""
NUMBERS = [type(np.dtype(code)) for code in "?bBhHiIlLqQefd"]
ALLOWED: list[Any] = [
    *((SCALAR, f"{module}.multiarray.scalar") for module in ("numpy.core", "numpy._core")),
    np.dtype,
    *dict.fromkeys(NUMBERS),
]


def unpickled(path: Path) -> Any:
    """The content of a file that ``torch.save`` wrote, on the CPU; what holds more than weights is refused."""
    if not path.is_file():
        raise UserError(f"weights: no such file {path}" + (": it is a folder" if path.is_dir() else ""))
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"weights: {path} cannot be read: {error.strerror or error}") from error
    try:
        with torch.serialization.safe_globals(ALLOWED), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch's doubts about a file that it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        stranger = re.search(r"GLOBAL ([\w.]+) (?:was not|whose)", str(error))
        if stranger is None:
            raise UserError(f"{path} is not a whole file of weights ({type(error).__name__})") from error
        raise UserError(
            f"{path}: its pickle asks for {stranger[1]}, and only tensors and plain numbers are read; "
            "save the network's state dict alone"
        ) from error
