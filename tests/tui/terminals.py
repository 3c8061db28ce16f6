"""A program on a terminal of its own, whose every byte is kept."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from tests.tui.rows import Rows

WITHIN = 60.0
NO_FOLDER = os.devnull
"""In which no file can be: how somebody likes their own dashboard is nothing to a test."""
ESCAPE = "\x1b[27u"
"""The key as the Kitty protocol says it: a lone ESC and the key after it would be another key."""
OTHERS = ("DG_", "COLUMNS", "LINES")
"""Variables that say something of the terminal and the server of whoever runs the tests."""
QUIET = 0.1
"""Seconds without a byte after which nothing more is taken to come of a key."""
LEADER = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Makes the terminal that of the program's session: only then does it hear of a new size and of a hang-up."""
ROW = re.compile(rb"\x1b\[(\d+);\d+H")
"""Where the cursor is moved to."""
MODE = re.compile(rb"\x1b\[\?([\d;]+)([hl])")
USUAL = frozenset({b"7", b"25"})
"""Private modes that are on in a terminal at rest: lines wrap, and the cursor is seen."""


def modes(written: bytes) -> set[bytes]:
    """The private modes that are on behind these bytes, of those that they speak of and the usual ones."""
    on = set(USUAL)
    for numbers, what in MODE.findall(written):
        (on.update if what == b"h" else on.difference_update)(numbers.split(b";"))
    return on


class Terminal:
    """What the program wrote, and its keyboard."""

    def __init__(self, process: subprocess.Popen[bytes], controller: int, size: tuple[int, int]) -> None:
        self.process, self._controller = process, controller
        self.rows = Rows(*size)
        self.written = bytearray()
        self._pressed = 0
        self._before = termios.tcgetattr(controller)

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
            self.rows.write(block)

    def until(self, holds: Callable[[], object], what: str = "", within: float = WITHIN) -> None:
        """Read until something is so. Raises AssertionError when it does not come to be."""
        end = time.monotonic() + within
        while not holds():
            assert time.monotonic() < end, (what, bytes(self.written[-2000:]))
            self.read(0.1)

    def settle(self) -> None:
        """Read until nothing comes for a moment, a second at most: something may move by itself."""
        end = time.monotonic() + 1
        while time.monotonic() < end:
            before = len(self.written)
            self.read(QUIET)
            if len(self.written) == before:
                return

    def shows(self, text: str, within: float = WITHIN) -> None:
        """Read until this was written since the last press."""
        self.until(lambda: text.encode() in self.written[self._pressed :], text, within)

    def lowest_after(self, keys: str) -> int:
        """The lowest row that is drawn when these are pressed."""
        self.press(keys)
        self.settle()
        return max((int(row) for row in ROW.findall(self.written, self._pressed)), default=0)

    def press(self, keys: str) -> None:
        self._pressed = len(self.written)
        os.write(self._controller, keys.encode())

    def becomes(self, holds: Callable[[str], object], what: str, within: float = WITHIN) -> str:
        """Read until the screen as a whole is so, and give it. Raises AssertionError when it does not."""
        end = time.monotonic() + within
        while not holds(shown := str(self.rows)):
            assert time.monotonic() < end, f"{what}:\n{shown}"
            self.read(0.1)
        return shown

    def resize(self, width: int, height: int) -> None:
        self.rows = Rows(width, height)
        fcntl.ioctl(self._controller, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def end(self, how: signal.Signals) -> int:
        """Send this and give the exit code, everything read."""
        self.process.send_signal(how)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end and give the exit code, everything read."""
        self.until(lambda: self.process.poll() is not None)
        self.settle()
        assert self.process.returncode is not None
        return self.process.returncode

    def assert_restored(self) -> None:
        """Everything that the program asked of the terminal was taken back."""
        assert modes(bytes(self.written)) == USUAL
        assert self.written.count(b"\x1b[>25u") == self.written.count(b"\x1b[<u")
        assert termios.tcgetattr(self._controller) == self._before


@contextmanager
def terminal(
    *arguments: str, environ: Mapping[str, str], size: tuple[int, int] = (120, 36)
) -> Iterator[Terminal]:
    """`dg` with these arguments on a terminal, ended with the block."""
    controller, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}
    process = subprocess.Popen(
        [sys.executable, "-c", LEADER, "-m", "dg", *arguments],
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
        env={
            **kept,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "XDG_CONFIG_HOME": NO_FOLDER,
            **environ,
        },
    )
    os.close(end)
    try:
        yield Terminal(process, controller, size)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(controller)
