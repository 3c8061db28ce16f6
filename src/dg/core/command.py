"""Run one short command with bounded time and output, leaving no process behind: git, and an admin's own.

Deployment steps do not run here: they belong to `dg.runner`, which outlives the server.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from dg.runner import processes

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
    """Run `argv` in a session of its own with exactly `env`, and a mark to find what it begins by; keep `cap`
    bytes of stdout.

    It reads the descriptor `stdin`, or nothing without one, and inherits `descriptors` by their numbers and
    no other open file.

    On a timeout (seconds) or cancellation all that it began is ended, whatever group or session it is in:
    TERM, so that git removes its lock files, then KILL.

    Raises:
        TimeoutError: it did not end in time.
        FileNotFoundError: there is no such program.
    """
    mark = f"command-{secrets.token_hex(8)}"
    transport, capture = await _start(argv, {**env, processes.TAG: mark}, mark, cap, descriptors, stdin)
    try:
        async with asyncio.timeout(timeout):
            await capture.ended.wait()
    finally:
        await _end(transport, capture, mark)
    code = transport.get_returncode()
    if code is None:
        raise TimeoutError
    return Finished(code, bytes(capture.kept[1]), bytes(capture.kept[2]), capture.truncated)


async def _start(
    argv: Sequence[str], env: Mapping[str, str], mark: str, cap: int, descriptors: Sequence[int], stdin: int
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
            await _end(*await starting, mark)
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


async def _end(transport: asyncio.SubprocessTransport, capture: _Capture, mark: str) -> None:
    group = transport.get_pid()
    begun: dict[int, str] = {}
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if transport.get_returncode() is None:
                # While their parents live: later nobody knows whose those are that cleared their environment.
                begun |= await asyncio.to_thread(processes.family, mark)
                _signal(group, number)
                _signal_all(begun, number)
                await _wait(capture.ended, _GRACE)
    finally:
        if begun or not capture.closed:
            _signal(group, signal.SIGKILL)
            _signal_all(begun, signal.SIGKILL)
            await asyncio.to_thread(processes.kill_tagged, mark, 0.0)
        transport.close()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _signal_all(begun: Mapping[int, str], number: signal.Signals) -> None:
    for pid, started in begun.items():
        if processes.alive(pid, started):
            processes.send(pid, number)
