from __future__ import annotations

import hashlib

import numpy as np

from oltr.data.manifest import digest, sealed


def test_digest_sees_values_and_shape_but_not_byte_order_or_layout() -> None:
    array = np.arange(6, dtype="<i8").reshape(2, 3)
    assert digest(array) == digest(array.astype(">i8")) == digest(np.asfortranarray(array))
    assert digest(array) == hashlib.sha256(b"<i8(2, 3)" + bytes(array)).hexdigest()
    assert (
        len({digest(array), digest(array.T), digest(array + 1), digest(array.astype("<i4")), digest(array, array)}) == 5
    )
    assert digest(array[:0]) != digest(array[:1])


def test_the_seal_ignores_the_order_of_keys_only() -> None:
    seal = sealed({"b": 1, "a": [2.5, None]})
    assert seal == {"b": 1, "a": [2.5, None], "sha256": hashlib.sha256(b'{"a":[2.5,null],"b":1}').hexdigest()}
    assert sealed({"a": [2.5, None], "b": 1})["sha256"] == seal["sha256"]
    assert sealed({"a": [2.5, None], "b": 2})["sha256"] != seal["sha256"]
