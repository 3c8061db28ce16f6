"""Signed requests from Slack to `/slack/events`, as an ASGI application around the server's own."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

log = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Asgi = Callable[[Any, Receive, Send], Awaitable[None]]
Dispatch = Callable[[AsyncBoltRequest], Awaitable[BoltResponse]]

PATH = "/slack/events"
_LARGEST = 1 << 20


class Requests:
    """Hands what comes to `PATH` to `dispatch`, and everything else to `inner`."""

    def __init__(self, inner: Asgi, dispatch: Callable[[], Dispatch | None]) -> None:
        self._inner = inner
        self._dispatch = dispatch

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._inner(scope, receive, send)
            return
        status, headers, body = await self._answer(scope, receive)
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Any, receive: Receive) -> tuple[int, Mapping[str, str], bytes]:
        if scope["method"] != "POST":
            return 405, {"allow": "POST"}, b""
        dispatch = self._dispatch()
        if dispatch is None:
            # Slack sends it again in a while.
            return 503, {"retry-after": "5"}, b""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if not headers.get("x-slack-request-timestamp", "").isdigit():
            return 401, {}, b""
        body = await _body(receive)
        if body is None:
            return 413, {}, b""
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            return 401, {}, b""
        return await _dispatched(dispatch, text, headers)


async def _dispatched(
    dispatch: Dispatch, text: str, headers: Mapping[str, str]
) -> tuple[int, Mapping[str, str], bytes]:
    try:
        request = AsyncBoltRequest(body=text, headers=dict(headers))
    except (ValueError, KeyError, TypeError, AttributeError):
        # It cannot even be read, so that nobody can have signed it.
        return 401, {}, b""
    answer = await dispatch(request)
    kept = {name: values[0] for name, values in answer.headers.items() if values and name != "set-cookie"}
    return answer.status, kept, (answer.body or "").encode()


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None when it is larger than any request of Slack's."""
    found = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        found += message.get("body", b"")
        if len(found) > _LARGEST:
            return None
        if not message.get("more_body"):
            return bytes(found)
