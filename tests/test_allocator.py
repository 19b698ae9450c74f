"""Who hands out memory: what is freed is kept, and what could be preloaded is found."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from oltr import allocator

BLOCK, ROUNDS = 64 * 2**20, 6
TAKING = f"""
import resource
from oltr.allocator import keep_freed_memory
import numpy
print(keep_freed_memory())
numpy.ones({BLOCK}, dtype=numpy.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    numpy.ones({BLOCK}, dtype=numpy.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the GNU C library alone is told")
def test_a_block_that_was_freed_is_handed_out_again_without_a_page_fault() -> None:
    done = subprocess.run([sys.executable, "-c", TAKING], capture_output=True, text=True, check=True)
    told, faults = done.stdout.split()
    assert told == "True"
    assert int(faults) < ROUNDS * BLOCK / 4096 / 20


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        ([], [(-3, 2**30), (-1, 2**31 - 1)]),
        ([-3], [(-3, 2**30), (-4, 0), (-1, 2**31 - 1)]),
        ([-3, -4], [(-3, 2**30), (-4, 0)]),
    ],
)
def test_an_older_library_that_takes_no_such_threshold_is_told_to_map_nothing(
    refused: list[int], expected: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without that, a raised trim threshold alone would freeze the low threshold of mapping, and make it slower."""
    said = []

    def mallopt(key: int, value: int) -> int:
        said.append((key, value))
        return int(key not in refused)

    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.31"))
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    assert allocator.keep_freed_memory({}) == (-4 not in refused)
    assert said == expected


def test_no_other_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace())
    for libc in ("", "musl"):
        monkeypatch.setattr(platform, "libc_ver", lambda libc=libc: (libc, ""))
        assert not allocator.keep_freed_memory({})


@pytest.mark.parametrize("name", allocator.USERS_OWN)
def test_what_the_user_has_told_the_library_holds(name: str) -> None:
    assert not allocator.keep_freed_memory({name: "1"})


def test_the_allocator_in_use_is_read_from_what_is_mapped(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.write_text("7f r-xp 0 /usr/lib/libc.so.6\n7f r-xp 0 /usr/lib/libjemalloc.so.2\n")
    assert allocator.preloaded(maps) == "jemalloc"
    maps.write_text("7f r-xp 0 /usr/lib/libc.so.6\n")
    assert allocator.preloaded(maps) is None
    assert allocator.preloaded(tmp_path / "none") is None


def test_what_could_be_preloaded_is_found_in_folders_and_by_the_linker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("libtcmalloc_minimal_debug.so.4", "libtcmalloc_minimal.so.4", "libc.so.6"):
        (tmp_path / name).touch()
    monkeypatch.setattr(allocator, "_known_to_linker", lambda: ["/lib/libjemalloc.so.2", "/lib/libm.so"])
    assert allocator.found((str(tmp_path),)) == {
        "jemalloc": Path("/lib/libjemalloc.so.2"),
        "tcmalloc": tmp_path / "libtcmalloc_minimal.so.4",
    }


def test_the_command_preloads_and_has_jemalloc_keep_what_is_freed() -> None:
    assert allocator.command("jemalloc", Path("/lib x/libjemalloc.so")) == (
        "LD_PRELOAD='/lib x/libjemalloc.so' MALLOC_CONF=dirty_decay_ms:-1,muzzy_decay_ms:-1 python main.py --config …"
    )
    assert allocator.command("tcmalloc", Path("/t.so")) == "LD_PRELOAD=/t.so python main.py --config …"
