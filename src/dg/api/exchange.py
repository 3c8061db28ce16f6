"""One request and the way out of its answer: every answer gets the headers that each concern adds."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from starlette.types import Message, Scope, Send

from dg.api import compression, headers
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
        return given if given and REQUEST_ID.fullmatch(given) else next(self._made)


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
        self.notices: Iterable[tuple[bytes, bytes]] = ()
        """What each answer of the operation says."""
        self.added: headers.Fields = [(b"x-request-id", request_id.encode())]
        """Headers of the answer, whatever it is."""
        self._accepted = accepted
        self._secure = scope["scheme"] == "https"
        self._send = _without_body(send) if self.method == "HEAD" else send

    def means(self, operation: Operation) -> None:
        """Note which operation the request means."""
        self.route = operation.id
        self.template = operation.template
        self.notices = operation.notices

    def spent(self, spent: Spent | None) -> None:
        """Say in the answer where the caller stands. Raises TooMany for a request that is one too many."""
        if spent is not None:
            self.added += spent.headers
            if spent.refusal:
                raise spent.refusal

    async def send(self, message: Message) -> None:
        """The ASGI `send` of the answer."""
        if message["type"] == "http.response.start":
            self._begin(message)
        await self._send(message)

    def _begin(self, start: Message) -> None:
        self.status = start["status"]
        own = start["headers"]
        start["headers"] = headers.finished((*own, *self.notices), secure=self._secure) + self.added
        if self.method in ("GET", "HEAD") and compression.worth_it(self.status, own):
            start["headers"].append((b"vary", b"accept-encoding"))
            if coding := compression.chosen(self._accepted):
                self._send = compression.Compressor(self._send, coding).send


def _without_body(send: Send) -> Send:
    async def head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message["body"] = b""
        await send(message)

    return head
