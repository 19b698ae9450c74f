"""Ctrl-C that is not lost: Python drops an interrupt that arrives while it frees objects or runs a callback."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_pressed = threading.Event()


@contextmanager
def heard() -> Iterator[None]:
    """Within the block Ctrl-C is remembered as well as raised."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _pressed.clear()
    before = signal.signal(signal.SIGINT, _press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def check() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed; called at each step of long work."""
    if _pressed.is_set():
        raise KeyboardInterrupt


def _press(number: int, frame: object) -> None:
    _pressed.set()
    raise KeyboardInterrupt
