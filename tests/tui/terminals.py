"""A program on a terminal of its own, whose every byte is kept."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

WITHIN = 60.0


class Terminal:
    """What the program wrote, and its keyboard."""

    def __init__(self, process: subprocess.Popen[bytes], controller: int) -> None:
        self.process, self._controller = process, controller
        self.written = bytearray()

    def read(self, seconds: float) -> None:
        """Take in what comes within so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self._controller], [], [], left)[0]:
                return
            try:
                block = os.read(self._controller, 1 << 16)
            except OSError:  # the program and its end of the terminal are gone
                return
            self.written += block

    def until(self, holds: Callable[[], object]) -> None:
        """Read until something is so. Raises AssertionError when it does not come to be."""
        end = time.monotonic() + WITHIN
        while not holds():
            assert time.monotonic() < end, bytes(self.written[-2000:])
            self.read(0.1)

    def press(self, keys: str) -> None:
        os.write(self._controller, keys.encode())


@contextmanager
def terminal(
    *arguments: str, environ: Mapping[str, str], size: tuple[int, int] = (120, 36)
) -> Iterator[Terminal]:
    """`dg` with these arguments on a terminal, ended with the block."""
    controller, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DG_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "dg", *arguments],
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
        env={**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environ},
    )
    os.close(end)
    try:
        yield Terminal(process, controller)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(controller)
