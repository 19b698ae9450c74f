"""The allocator that hands out memory: large tensors come and go at every step, and may cost page by page."""

from __future__ import annotations

import ctypes
import os
import platform
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

PRELOADABLE = ("jemalloc", "tcmalloc", "mimalloc")
JEMALLOC_KEEPS = "dirty_decay_ms:-1,muzzy_decay_ms:-1"
"""Have jemalloc keep what is freed, too."""
FOLDERS = (
    *("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"),
    *("/usr/local/lib", "/opt/homebrew/lib"),
)
USERS_OWN = (
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
    "MALLOC_TOP_PAD_",
    "GLIBC_TUNABLES",
)
"""Variables by which a user has told the C library already."""
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # as in malloc.h
KEPT = 2**30
"""Bytes: a block that is larger still goes back to the system at once."""


def keep_freed_memory(environment: Mapping[str, str] = os.environ) -> bool:
    """Have the GNU C library keep what is freed, whether it was told; not where the user has told it something else.

    By default it gives blocks of tens of megabytes back to the system, which hands them out anew page by page, each
    filled with zeros: of a training step on a CPU that is a fifth and more. A preloaded library goes its own way.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in environment for name in USERS_OWN):
        return False
    tell = ctypes.CDLL(None).mallopt
    # Before 2.35 it takes no threshold above 32 MiB; that no block at all is mapped it takes.
    mapped_no_more = tell(MMAP_THRESHOLD, KEPT) or tell(MMAP_MAX, 0)
    return bool(mapped_no_more and tell(TRIM_THRESHOLD, 2 * KEPT - 1))


def preloaded(maps: Path = Path("/proc/self/maps")) -> str | None:
    """The allocator that this process uses in the place of the C library's, by name."""
    try:
        mapped = maps.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return next((name for name in PRELOADABLE if f"lib{name}" in mapped), None)


def found(folders: tuple[str, ...] = FOLDERS) -> dict[str, Path]:
    """The allocators on this machine that could be preloaded: the library of each, by name."""
    lines = _known_to_linker()
    lines += [str(path) for folder in folders for path in sorted(Path(folder).glob("lib*malloc*.so*"))]
    libraries: dict[str, Path] = {}
    for name in PRELOADABLE:
        fitting = [line for line in lines if Path(line).name.startswith(f"lib{name}") and "debug" not in line]
        if fitting:
            libraries[name] = Path(fitting[0])
    return libraries


def variables(name: str, library: Path) -> dict[str, str]:
    """The environment in which a process uses this allocator."""
    keeps = {"MALLOC_CONF": JEMALLOC_KEEPS} if name == "jemalloc" else {}
    return {"LD_PRELOAD": str(library), **keeps}


def command(name: str, library: Path) -> str:
    """What to type for a run with this allocator."""
    words = [f"{key}={shlex.quote(value)}" for key, value in variables(name, library).items()]
    return " ".join([*words, "python main.py --config …"])


def _known_to_linker() -> list[str]:
    """The paths that `ldconfig -p` lists; it lies where users' programs need not be looked for."""
    for program in ("/sbin/ldconfig", "/usr/sbin/ldconfig"):
        try:
            told = subprocess.run([program, "-p"], capture_output=True, text=True, timeout=20, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            continue
        return [line.rpartition(" => ")[2] for line in told.splitlines() if " => " in line]
    return []
