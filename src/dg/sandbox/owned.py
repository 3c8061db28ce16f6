"""Processes that end with the block that started them, and with the sandbox itself, however that ends."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from dg.core.clock import Clock
from dg.core.errors import Unavailable

POLL = 0.02
STOP_SECONDS = 10.0


class Owned:
    """A running process; both its outputs go to the file `log`."""

    def __init__(self, process: Process, stdin: asyncio.StreamWriter, log: Path, clock: Clock) -> None:
        self._process = process
        self._stdin = stdin
        self._log = log
        self._clock = clock

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, line: bytes) -> None:
        """Write to its standard input, which stays open."""
        self._stdin.write(line)

    async def says(self, mark: str, seconds: float) -> str:
        """Its first line of output with `mark` in it. Raises Unavailable when it ends or takes too long."""
        deadline = self._clock.monotonic() + seconds
        while True:
            ended = self._process.returncode is not None
            for line in self._log.read_text("utf-8", "replace").splitlines(keepends=True):
                if mark in line and line.endswith("\n"):
                    return line.rstrip("\n")
            if ended or self._clock.monotonic() >= deadline:
                raise Unavailable(f"{self._log.stem} {self._failure(seconds)}")
            await self._clock.sleep(POLL)

    async def end(self) -> None:
        """Close its input and give it time to end by itself; KILL what is left of its process group."""
        self._stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._process.wait()

    def _failure(self, seconds: float) -> str:
        code = self._process.returncode
        how = f"was not ready within {seconds:g} s" if code is None else f"ended with exit code {code}"
        said = self._log.read_text("utf-8", "replace").split("\n")
        last = next((line for line in reversed(said) if line.strip()), "it said nothing")
        return f"{how}: {last}"


@asynccontextmanager
async def owned(
    command: Sequence[str], log: Path, environ: Mapping[str, str], clock: Clock
) -> AsyncIterator[Owned]:
    """Run `command` in a session of its own, with a pipe as its standard input.

    It is expected to end by itself when that pipe closes, which happens even when this process is killed.
    """
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=output, stderr=output, env=environ, start_new_session=True
        )
    assert process.stdin  # noqa: S101  it was started with one
    running = Owned(process, process.stdin, log, clock)
    try:
        yield running
    finally:
        await running.end()
