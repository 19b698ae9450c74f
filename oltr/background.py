"""Work done beside the caller, one piece at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Thread
from types import TracebackType

log = logging.getLogger("oltr")


class Background:
    """A thread for writing files while training goes on: what it raises is raised in the caller's next call.

    As a context: nothing is under way any more when the block is left, however it is left.
    """

    def __init__(self) -> None:
        self._thread: Thread | None = None
        self._error: BaseException | None = None

    def run(self, work: Callable[[], None]) -> None:
        """Do ``work`` once the piece before it is done."""
        self.wait()

        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # raised again by wait
                self._error = error

        self._thread = Thread(target=guarded, name="oltr-background")
        self._thread.start()

    def check(self) -> None:
        """Raise what the last piece raised, if it has; one that is under way is not waited for."""
        if self._error is not None:
            self.wait()

    def wait(self) -> None:
        """Return when nothing is under way; raise what the last piece raised."""
        self._end()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.wait()
            return
        self._end()
        if self._error is not None:  # the caller's own error is the one that ends it
            log.error("%s", self._error)

    def _end(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None
