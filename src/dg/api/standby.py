"""Answers for a server that waits until the active one is gone; `dg serve` runs it meanwhile."""

from __future__ import annotations

import itertools
import secrets

from starlette.types import Receive, Scope, Send

from dg.api import errors
from dg.api.feed import socket
from dg.core.errors import Unavailable


class Standby:
    """An ASGI application that refuses everything, `/health` too; whoever asks may be anybody."""

    def __init__(self) -> None:
        self._problem = Unavailable(
            "this server stands by: another one is active on its database", reason="standby"
        )
        self._request_ids = map(f"{secrets.token_hex(4)}-{{:x}}".format, itertools.count(1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = next(self._request_ids)
        if scope["type"] == "websocket":
            await receive()
            await socket.reject(send, self._problem, request_id)
        elif scope["type"] == "http":
            await errors.render(self._problem, request_id)(scope, receive, send)
        else:
            raise NotImplementedError("there is no lifespan here")
