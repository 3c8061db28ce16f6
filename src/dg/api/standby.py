"""Answers for a server that waits until the active one is gone; `dg serve` runs it meanwhile."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from dg.api import errors, request
from dg.api.exchange import Exchange, RequestIds
from dg.api.feed import socket
from dg.core.errors import Unavailable


class Standby:
    """An ASGI application that refuses everything, `/health` too; whoever asks may be anybody."""

    def __init__(self) -> None:
        self._problem = Unavailable(
            "this server stands by: another one is active on its database", reason="standby"
        )
        self._request_ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = self._request_ids.of(request.fields(scope))
        if scope["type"] == "websocket":
            await receive()
            await socket.reject(send, self._problem, request_id)
        elif scope["type"] == "http":
            exchange = Exchange(request_id, scope, send)
            await errors.render(self._problem, request_id)(scope, receive, exchange.send)
        else:
            raise ValueError(f"{scope['type']} is not taken: there is nothing to open here")
