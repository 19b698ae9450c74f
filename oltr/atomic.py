"""Files that are either the old one or the whole new one, never a part of it."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oltr.contracts import RunError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes that name when the block ends well, and is removed when it does not.

    Of several writers of one path the last one wins. A full disk raises RunError; the old file stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)  # noqa: PTH105 - Path.replace says nothing about atomicity
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if _disk_is_full(error):
            raise RunError(
                f"no space left on the disk for {path}: free some and run again; nothing was replaced"
            ) from error
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """``content`` as the whole of the file at ``path``."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether a full disk lies behind the error; a library may have made another of it on the way."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
