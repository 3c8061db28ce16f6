"""A program on a terminal of its own that reads everything at once, and what it wrote there."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from benchmarks.processes import END_SECONDS, ROOT, environ

SIZE = (160, 45)
QUIET = 0.3
"""Seconds without a byte after which a picture is taken to be whole."""


class Terminal:
    """The other end of the terminal that a process runs on."""

    def __init__(self, process: subprocess.Popen[bytes], controller: int) -> None:
        self.process, self._controller = process, controller
        self.began = self.last = time.perf_counter()
        self.written = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # a terminal without anybody on its other end
            while block := os.read(self._controller, 1 << 16):
                self.written += block
                self.last = time.perf_counter()

    def press(self, keys: str) -> None:
        os.write(self._controller, keys.encode())

    def settle(self) -> None:
        """Wait until the picture is whole."""
        time.sleep(QUIET)
        while time.perf_counter() - self.last < QUIET:
            time.sleep(QUIET / 10)

    def until(self, text: str, seconds: float = 60) -> float:
        """Seconds from the start until `text` was written. Raises RuntimeError when it is not in time."""
        while text.encode() not in self.written:
            if time.perf_counter() - self.began > seconds or self.process.poll() is not None:
                raise RuntimeError(f"{text!r} was not shown by {self.process.args!r}")
            time.sleep(0.002)
        return time.perf_counter() - self.began

    def end(self) -> None:
        """Wait for the program's own end. Raises CalledProcessError."""
        if code := self.process.wait():
            raise subprocess.CalledProcessError(code, self.process.args)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(END_SECONDS)
        os.close(self._controller)
        self._reader.join()


@contextmanager
def terminal(arguments: Sequence[str], variables: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    """This Python with `arguments` on a terminal of SIZE, ended with the block."""
    controller, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    process = subprocess.Popen(
        (sys.executable, *arguments),
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
        cwd=ROOT,
        env={**environ(), "TERM": "xterm-256color", "COLORTERM": "truecolor", **(variables or {})},
    )
    os.close(end)
    screen = Terminal(process, controller)
    try:
        yield screen
    finally:
        screen.close()
