"""`dg health --watch` in a terminal of its own, against a real server."""

from __future__ import annotations

import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path

import pytest
from tests.client.servers import serving

from dg.cli.errors import ExitCode
from dg.cli.main import run


class Terminal:
    """The other end of a terminal in which a command runs."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self.told = b""

    def until(self, text: bytes, seconds: float = 30.0) -> bytes:
        """What it is told up to `text`, since the last time."""
        deadline = time.monotonic() + seconds
        while text not in self.told:
            assert time.monotonic() < deadline, self.told
            if select.select([self._descriptor], [], [], 0.2)[0]:
                self.told += os.read(self._descriptor, 65536)
        before, _, self.told = self.told.partition(text)
        return before + text

    def resize(self, lines: int, columns: int) -> None:
        ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@contextmanager
def terminal(*words: str, **environ: str) -> Iterator[Terminal]:
    # Workers of pytest-xdist ignore Ctrl-C, and so would what they start.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "dg", *words]
    sizes = {"COLUMNS", "LINES"}
    around = {name: value for name, value in os.environ.items() if name not in sizes} | environ
    near, far = pty.openpty()
    with subprocess.Popen(
        command, stdin=far, stdout=far, stderr=far, env=around, start_new_session=True
    ) as process:
        os.close(far)
        found = Terminal(process, near)
        try:
            found.resize(24, 80)
            yield found
        finally:
            process.kill()
            os.close(near)


def test_a_watch_follows_what_changes_fits_and_leaves_the_terminal_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    for name in ("DG_URL", "DG_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DG_HOME", str(home))
    beat = ["probe", "beat", "production", "nightly"]
    with serving(home):
        made = ["probe", "set", "production", "nightly", "kind=heartbeat", "service=shop", "interval=1h"]
        assert run(made) == ExitCode.OK
        with terminal("health", "production", "--watch", TERM="xterm", NO_COLOR="1") as screen:
            assert screen.until(b"unknown").startswith(b"\x1b[?1049h\x1b[?25l\x1b[H")
            assert run(beat) == ExitCode.OK
            screen.until("● healthy".encode())
            screen.resize(2, 60)
            screen.process.send_signal(signal.SIGWINCH)
            screen.until(b"\x1b[H")
            small = screen.until(b"\x1b[J")
            while small.count(b"\n") != 1:
                small = screen.until(b"\x1b[J")
            screen.process.send_signal(signal.SIGINT)
            assert screen.until(b"\x1b[?25h\x1b[?1049l")
            assert screen.process.wait(30) == ExitCode.OK
