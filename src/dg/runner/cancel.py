"""What reaches a running runner from outside: the order to cancel, and the deaths of its children."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import FrameType

from dg.runner import spool

LOOK_SECONDS = 0.25


class Doorbell:
    """A pipe that becomes readable at any signal, to wake a poll.

    SIGTERM, SIGINT and SIGHUP stop nothing by themselves: only the file `cancel.json` does.
    """

    def __init__(self) -> None:
        self.fd, self._ring = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._ring, False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, _wake_only)
        signal.set_wakeup_fd(self._ring, warn_on_full_buffer=False)

    def clear(self) -> None:
        try:
            os.read(self.fd, 4096)
        except BlockingIOError:
            return


class Cancel:
    """Whether the server wants this run to stop; once wanted, for good."""

    def __init__(self, run_dir: str, on_request: Callable[[], None]) -> None:
        self._path = os.path.join(run_dir, spool.CANCEL)
        self._on_request = on_request
        self._look_at = 0.0
        self.noticed = False

    def requested(self, *, now: bool = False) -> bool:
        """Looks at most every quarter of a second, or at once with `now` (the bell rang, a step begins)."""
        if self.noticed or (not now and time.monotonic() < self._look_at):
            return self.noticed
        self._look_at = time.monotonic() + LOOK_SECONDS
        if os.path.exists(self._path):
            self.noticed = True
            self._on_request()
        return self.noticed


def _wake_only(_number: int, _frame: FrameType | None) -> None:
    """The wake-up descriptor does the work; without a handler the signal would kill or be lost."""
