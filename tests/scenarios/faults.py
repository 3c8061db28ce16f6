"""Kills, fails or delays a process at an exact system call, by strace; without it such tests are skipped."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from tests.scenarios.house import until

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None or platform.machine() != "x86_64",
    reason="no strace, or another machine than x86-64, whose system calls have these names",
)


class Fault(Protocol):
    """What strace does to a process."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """What strace is told."""
        ...


@dataclass(frozen=True)
class Call:
    """The process is killed just before a thread makes its `nth` call of this name."""

    name: str
    nth: int

    def __str__(self) -> str:
        return f"{self.name}-{self.nth}"

    @property
    def arguments(self) -> tuple[str, ...]:
        return _inject(self.name, f"signal=SIGKILL:when={self.nth}")


@dataclass(frozen=True)
class Stall:
    """Calls of this name take so many seconds longer, as on a machine that is busy or swaps.

    `nth` is one of them, or all from the first on as "1+".
    """

    name: str
    nth: int | str
    seconds: float

    @property
    def arguments(self) -> tuple[str, ...]:
        return _inject(self.name, f"delay_enter={round(self.seconds * 1_000_000)}:when={self.nth}")


@dataclass(frozen=True)
class Failure:
    """Calls of this name do nothing and fail with EIO, as on a disk that breaks; `nth` as for `Stall`."""

    name: str
    nth: int | str

    def __str__(self) -> str:
        return f"{self.name}-{self.nth}"

    @property
    def arguments(self) -> tuple[str, ...]:
        return _inject(self.name, f"error=EIO:when={self.nth}")


def _inject(name: str, what: str) -> tuple[str, ...]:
    return ("-qq", "-o", os.devnull, "-e", f"trace={name}", "-e", f"inject={name}:{what}")


@contextmanager
def suffering(fault: Fault, pid: int) -> Iterator[Callable[[], int]]:
    """Meanwhile each thread of `pid` counts its calls and meets the fault when it is there.

    Gives a function that says how many calls met it so far.
    """
    threads = [path.name for path in Path(f"/proc/{pid}/task").iterdir()]
    attached = [word for thread in threads for word in ("-p", thread)]
    with tempfile.NamedTemporaryFile("r") as calls:
        argv = ("strace", *fault.arguments, "-o", calls.name, *attached)
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as tracer:
            try:
                until(lambda: all(_traced(pid, thread) for thread in threads), "strace to attach")
                yield lambda: Path(calls.name).read_text().count("(INJECTED)")
            finally:
                tracer.terminate()


def _traced(pid: int, thread: str) -> bool:
    status = Path(f"/proc/{pid}/task/{thread}/status").read_text()
    return "TracerPid:\t0\n" not in status


class Interpreter:
    """A stand-in for the runner's Python that runs the next runner under a fault, once."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "python"
        self._fault = folder / "fault"
        self.path.write_text(
            "#!/bin/sh\n"
            f"if mv '{self._fault}' '{self._fault}.$$' 2> /dev/null; then\n"
            f"    read -r fault < '{self._fault}.$$'\n"
            f"    exec $fault '{sys.executable}' \"$@\"\n"
            "fi\n"
            f"exec '{sys.executable}' \"$@\"\n"
        )
        self.path.chmod(0o755)

    def arm(self, fault: Fault) -> None:
        """The next runner meets it. strace goes aside (-D), so that the runner stays the server's child."""
        self._fault.write_text(f"strace -D {' '.join(fault.arguments)}\n")

    @property
    def armed(self) -> bool:
        return self._fault.exists()
