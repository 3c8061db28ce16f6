"""Run one short command with bounded time and output, leaving no process behind: git, and an admin's own.

Deployment steps do not run here: they belong to `dg.runner`, which outlives the server.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

_GRACE = 2.0
_LINGER = 1.0
_STDERR_CAP = 65_536


@dataclass(frozen=True)
class Finished:
    """How a command ended. `code` is negative for a signal; `truncated` says that stdout passed its cap."""

    code: int
    stdout: bytes
    stderr: bytes
    truncated: bool


async def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout: float,
    cap: int,
    descriptors: Sequence[int] = (),
    stdin: int = asyncio.subprocess.DEVNULL,
) -> Finished:
    """Run `argv` with exactly `env` and a session of its own; keep `cap` bytes of stdout.

    It reads the descriptor `stdin`, or nothing without one, and inherits `descriptors` by their numbers and
    no other open file.

    On a timeout (seconds) or cancellation the whole process group is ended: TERM, so that git removes its
    lock files, then KILL.

    Raises:
        TimeoutError: it did not end in time.
        FileNotFoundError: there is no such program.
    """
    transport, capture = await _start(argv, env, cap, descriptors, stdin)
    try:
        async with asyncio.timeout(timeout):
            await capture.ended.wait()
    finally:
        await _end(transport, capture)
    code = transport.get_returncode()
    if code is None:
        raise TimeoutError
    return Finished(code, bytes(capture.kept[1]), bytes(capture.kept[2]), capture.truncated)


async def _start(
    argv: Sequence[str], env: Mapping[str, str], cap: int, descriptors: Sequence[int], stdin: int
) -> tuple[asyncio.SubprocessTransport, _Capture]:
    """Begin the command. A cancellation waits for that: asyncio would end its first process alone."""
    starting = asyncio.ensure_future(
        asyncio.get_running_loop().subprocess_exec(
            lambda: _Capture(cap),
            *argv,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(env),
            pass_fds=descriptors,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with suppress(OSError):
            await _end(*await starting)
        raise


class _Capture(asyncio.SubprocessProtocol):
    """Keeps the head of each stream and reads on past it, so that the writer never blocks.

    It ends with the last pipe, or a moment after the process itself: a grandchild that still holds a pipe
    must not hold the caller too.
    """

    def __init__(self, cap: int) -> None:
        self._caps = {1: cap, 2: _STDERR_CAP}
        self.kept = {1: bytearray(), 2: bytearray()}
        self.truncated = False
        self.closed = False
        self.ended = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        room = self._caps[fd] - len(self.kept[fd])
        self.kept[fd] += data[:room]
        if fd == 1 and len(data) > room:
            self.truncated = True

    def process_exited(self) -> None:
        asyncio.get_running_loop().call_later(_LINGER, self.ended.set)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.ended.set()


async def _end(transport: asyncio.SubprocessTransport, capture: _Capture) -> None:
    group = transport.get_pid()
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if transport.get_returncode() is None:
                _signal(group, number)
                await _wait(capture.ended, _GRACE)
    finally:
        if not capture.closed:
            _signal(group, signal.SIGKILL)
        transport.close()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
