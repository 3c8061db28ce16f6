"""Child processes and what the kernel says of them; Linux only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
END_SECONDS = 20.0

Child = subprocess.Popen[str]


def environ() -> dict[str, str]:
    """The caller's environment without any setting of dg's or Python's."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("DG_", "PYTHON"))}


@contextmanager
def child(
    arguments: Sequence[str], errors: IO[bytes] | None = None, variables: Mapping[str, str] | None = None
) -> Iterator[Child]:
    """This Python with `arguments`, its standard input and output piped; ended by TERM with the block."""
    process = subprocess.Popen(
        (sys.executable, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        cwd=ROOT,
        env={**environ(), **(variables or {})},
    )
    with process:
        try:
            yield process
        finally:
            _end(process)


def _end(process: Child) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


@contextmanager
def peer(name: str, spec: Mapping[str, object]) -> Iterator[Child]:
    """The program `benchmarks.peers.<name>`, given `spec` as the first line of its standard input."""
    with child(("-m", f"benchmarks.peers.{name}")) as process:
        say(process, json.dumps(spec))
        yield process


def say(process: Child, line: str) -> None:
    """Write a line to the child's standard input."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def end_of_input(process: Child) -> None:
    """Close the child's standard input."""
    assert process.stdin is not None
    process.stdin.close()


def hear(process: Child) -> str:
    """The next line of the child's standard output. Raises RuntimeError when it ended."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} ended with code {process.wait(END_SECONDS)}")
    return line.rstrip("\n")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of the children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def memory(pid: int) -> float:
    """Resident memory in MB."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"process {pid} has ended")


def spent(*arguments: str) -> tuple[float, float]:
    """Wall and CPU seconds of one run of this Python with `arguments`. Raises CalledProcessError."""
    began = time.perf_counter()
    command = (sys.executable, *arguments)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT, env=environ())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime
