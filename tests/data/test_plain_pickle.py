from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from oltr.contracts import UserError
from oltr.data.plain_pickle import load_plain

DATA = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("order", ["C", "F"])
def test_plain_data_is_read_as_numpy_would(tmp_path: Path, protocol: int, order: str) -> None:
    path = tmp_path / "batch"
    batch = {b"data": np.array(DATA, order=order), b"labels": [1, 2, 3], b"names": [b"\xe4", "b"]}
    path.write_bytes(pickle.dumps(batch, protocol=protocol))
    read = load_plain(path)
    assert np.array_equal(read.pop(b"data"), DATA)
    assert read == {b"labels": [1, 2, 3], b"names": [b"\xe4", "b"]}


class Harm:
    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.flag),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_that_a_pickle_names_is_run(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps({b"data": Harm(tmp_path / "harm")}, protocol=protocol))
    with pytest.raises(UserError, match=r"batch is broken or no pickle .*mkdir, which plain data does not need"):
        load_plain(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"no pickle",
        pickle.dumps({b"data": DATA}, 2)[:-20],
        pickle.dumps({b"data": DATA.astype("f4")}, 2),
        pickle.dumps({b"data": np.array([None])}, 2),
        pickle.dumps({b"data": DATA}, 2).replace(b"K\x03K\x04", b"K\x03K\x05"),
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"c__builtin__\ngetattr\n.",
        b"cnumpy\ndtype\n}b.",
    ],
)
def test_what_is_broken_or_not_plain_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "batch"
    path.write_bytes(text)
    with pytest.raises(UserError, match="batch is broken or no pickle of plain data"):
        load_plain(path)
