"""One request and the way out of its answer: every answer gets the headers that each concern adds."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from starlette.types import Message, Scope, Send

from dg.api import headers
from dg.api.compression import Compressor, chosen
from dg.api.metrics import UNROUTED

if TYPE_CHECKING:
    from dg.api.contract import Operation
    from dg.api.limits import Spent

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestIds:
    """Names requests: by what the caller calls them where that is harmless, else by a new id."""

    def __init__(self) -> None:
        self._made: Iterator[str] = map(f"{secrets.token_hex(4)}-{{:x}}".format, itertools.count(1))

    def of(self, fields: Mapping[str, str]) -> str:
        """The id of a request with these headers."""
        given = fields.get("x-request-id", "")
        return given if REQUEST_ID.fullmatch(given) else next(self._made)


class Exchange:
    """What one request is known by, and what its answer says beside its own headers."""

    def __init__(self, request_id: str, scope: Scope, send: Send, accepted: str = "") -> None:
        """`accepted` is the Accept-Encoding of the request."""
        self.request_id = request_id
        self.method: str = scope["method"]
        self.route = UNROUTED
        """The operation's id; a path of a stranger's making has a word of ours."""
        self.template = ""
        """The operation's path as its contract writes it; empty for none."""
        self.principal = ""
        """The id of who is asking, as soon as that is known."""
        self.status = 0
        self.added: headers.Fields = [(b"x-request-id", request_id.encode())]
        """Headers of the answer, whatever it is."""
        self._secure = scope["scheme"] == "https"
        self._send = _way_out(self.method, send, accepted)

    def means(self, operation: Operation) -> None:
        """Note which operation the request means."""
        self.route = operation.id
        self.template = operation.prefix + operation.path
        self.added.append((headers.VERSION, operation.version.encode()))
        if operation.deprecation:
            self.added += operation.deprecation.headers()

    def spent(self, spent: Spent | None) -> None:
        """Say in the answer where the caller stands. Raises TooMany for a request that is one too many."""
        if spent is not None:
            self.added += spent.headers
            if spent.refusal:
                raise spent.refusal

    async def send(self, message: Message) -> None:
        """The ASGI `send` of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = headers.finished([*message["headers"], *self.added], secure=self._secure)
        await self._send(message)


def _way_out(method: str, send: Send, accepted: str) -> Send:
    """What an answer passes on its way: what it is to GET made smaller, and for HEAD left out."""
    if method == "GET":
        return Compressor(send, chosen(accepted)).send
    if method == "HEAD":
        return Compressor(_without_body(send), chosen(accepted)).send
    return send


def _without_body(send: Send) -> Send:
    async def head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message["body"] = b""
        await send(message)

    return head
