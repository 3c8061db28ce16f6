"""The process behind each browser's tab: a dashboard that gets its person's tokens over a socket.

They come to it by no other way, as arguments, environment or files would be. When the socket closes, however
this process ended, the dashboard's process ends.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dg.client.app import Client
from dg.core.errors import Problem, Unauthenticated
from dg.core.text import plain
from dg.web.packets import Garbled

END_SECONDS = 5.0
LAST_WORDS = 4096
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Of the environment; no setting of dg, Python or Textual among them."""


@dataclass(frozen=True)
class Manner:
    """How every dashboard runs: the server that it looks at, and what `dg web` was told."""

    url: str
    ca_file: Path | None
    theme: str
    read_only: bool


@dataclass(frozen=True)
class Child:
    """A dashboard's process, and the socket over which it asks for tokens."""

    process: Process
    keyboard: asyncio.StreamWriter
    output: asyncio.StreamReader
    errors: asyncio.StreamReader
    asks: asyncio.StreamReader
    answers: asyncio.StreamWriter

    async def type(self, packet: bytes) -> None:
        """Raises OSError when it has ended."""
        self.keyboard.write(packet)
        await self.keyboard.drain()

    async def serve_tokens(self, client: Client) -> None:
        """Answer each time that it asks what opens the server, until it ends.

        Raises Unauthenticated when its person's session is over, Garbled for what is no question.
        """
        with suppress(ConnectionError):
            while line := await self._asked():
                answer = await _answer(client, refused_in(line))
                self.answers.write(json.dumps(answer).encode() + b"\n")
                await self.answers.drain()

    async def _asked(self) -> bytes:
        try:
            return await self.asks.readline()
        except ValueError as error:
            raise Garbled("a dashboard asks without an end") from error

    async def last_words(self) -> str:
        """The end of what it wrote to its standard error, which is nothing while all is well."""
        kept = b""
        while block := await self.errors.read(LAST_WORDS):
            kept = (kept + block)[-LAST_WORDS:]
        return plain(kept).strip()


def refused_in(line: bytes) -> str | None:
    """The token that a dashboard's question says was refused. Raises Garbled."""
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Garbled("a dashboard asks what is no JSON") from error
    match asked:
        case {"refused": str() | None as refused}:
            return refused
    raise Garbled("a dashboard asks for no token")


async def _answer(client: Client, refused: str | None) -> dict[str, str | None]:
    try:
        return {"token": await client.token(refused)}
    except Unauthenticated:
        raise
    except Problem as problem:
        return {"problem": problem.message}


@asynccontextmanager
async def open_child(
    manner: Manner, size: tuple[int, int], environ: Mapping[str, str]
) -> AsyncIterator[Child]:
    """A dashboard of `size` columns and rows, which is gone after the block."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "dg.web.child", str(theirs.fileno())),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=environment(environ, size),
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            cwd="/",
        )
    assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018  it was started with them
    reader, writer = await asyncio.open_connection(sock=ours)
    writer.write(json.dumps(_told(manner)).encode() + b"\n")
    try:
        yield Child(process, process.stdin, process.stdout, process.stderr, reader, writer)
    finally:
        writer.close()
        await _end(process)


def environment(environ: Mapping[str, str], size: tuple[int, int]) -> dict[str, str]:
    """What a dashboard's process has in its environment."""
    return {
        **{name: environ[name] for name in PASSED_ON if name in environ},
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver",
        "TEXTUAL_COLOR_SYSTEM": "truecolor",
        "COLUMNS": str(size[0]),
        "ROWS": str(size[1]),
        "PYTHONUTF8": "1",
    }


def _told(manner: Manner) -> dict[str, object]:
    return {
        "url": manner.url,
        "ca_file": str(manner.ca_file.absolute()) if manner.ca_file else None,
        "theme": manner.theme,
        "read_only": manner.read_only,
    }


async def _end(process: Process) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
