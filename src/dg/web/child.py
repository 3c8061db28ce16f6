"""`python -m dg.web.child FD`: one person's dashboard on Textual's web driver, started by `dg web`.

FD is a socket to it: the first line says which server, and each further one answers a question for a token.
When it closes, this process ends, whatever it is doing.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from dg.core.errors import Unavailable
from dg.tui.app import Dashboard
from dg.web.shutting import shut_in

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.client.credentials import Refresh


@dataclass(frozen=True)
class Told:
    """The first line."""

    url: str
    ca_file: str | None
    theme: str
    read_only: bool


class Line:
    """The socket to `dg web`, as the credential of this dashboard's client."""

    renewable = True

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._file: BinaryIO = line.makefile("rb")
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[str]]] = deque()
        self._turn = threading.Lock()

    def read_first(self) -> Told:
        """Wait for the first line."""
        return Told(**json.loads(self._file.readline()))

    def live_as_long(self) -> None:
        """From now on this process lives as long as the socket."""
        threading.Thread(target=self._listen, name="line", daemon=True).start()

    async def token(self, refresh: Refresh) -> str:
        return await self._ask(None)

    async def renew(self, refused: str, refresh: Refresh) -> None:
        await self._ask(refused)

    async def _ask(self, refused: str | None) -> str:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        with self._turn:
            self._waiting.append((loop, answer))
            self._line.sendall(json.dumps({"refused": refused}).encode() + b"\n")
        return await answer

    def _listen(self) -> None:
        while line := self._file.readline():
            loop, answer = self._waiting.popleft()
            loop.call_soon_threadsafe(_settle, answer, json.loads(line))
        # Also when its loop hangs in a write that nobody reads.
        os._exit(0)


def _settle(answer: asyncio.Future[str], said: dict[str, str]) -> None:
    if answer.done():
        return
    if "token" in said:
        answer.set_result(said["token"])
    else:
        answer.set_exception(Unavailable(said["problem"]))


def main() -> None:
    line = Line(socket.socket(fileno=int(sys.argv[1])))
    told = line.read_first()
    shut_in([Path(told.ca_file)] if told.ca_file else [])
    line.live_as_long()

    def connect() -> Client:
        from dg.client.app import Client

        return Client(told.url, line, ca_file=Path(told.ca_file) if told.ca_file else None)

    app = Dashboard(connect, read_only=told.read_only, theme=told.theme)
    app.run()
    sys.exit(app.return_code or 0)


if __name__ == "__main__":
    main()
