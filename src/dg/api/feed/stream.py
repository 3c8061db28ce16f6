"""`GET /v1/events`: a page of facts, or a stream of server-sent events that a client can resume."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp

from dg.api import auth, json, wire
from dg.api.call import Call, answer
from dg.core.access.models import Action
from dg.core.errors import Unauthenticated
from dg.core.ledger import Entry
from dg.core.tasks import open_tasks

MEDIA_TYPE = "text/event-stream"
HEARTBEAT = b": still here\n\n"


async def list_events(call: Call) -> ASGIApp:
    seen = call.arguments["Last-Event-ID"]
    after = int(seen) if seen is not None else call.arguments["after"]
    if call.method == "GET" and call.wants(MEDIA_TYPE):
        return await _stream(call, after)
    return await _page(call, after or 0)


async def _page(call: Call, after: int) -> Response:
    entries = await call.core.feed.read(
        call.principal, after=after, limit=call.arguments["limit"], filter=call.arguments["filter"]
    )
    names = await call.core.access.names(entry.actor for entry in entries)
    shown = [shape(entry, names) for entry in entries]
    return answer({"items": shown, "next_after": entries[-1].seq if entries else after})


async def _stream(call: Call, after: int | None) -> StreamingResponse:
    """A refusal is raised here, before the answer begins, and so is an ordinary error."""
    start = (await call.core.feed.head(call.principal)).seq if after is None else after
    listener = _Listener(call)
    entries = call.core.feed.stream(
        call.principal, after=start, filter=call.arguments["filter"], by_then=lambda: listener.principal
    )
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_events(call, listener, start, entries), 200, headers, MEDIA_TYPE)


async def _events(
    call: Call, listener: _Listener, start: int, entries: AsyncIterator[Entry]
) -> AsyncIterator[bytes]:
    """The stream's bytes: where it stands, each fact, and a sign of life when nothing happens."""
    yield f"id: {start}\n\n".encode()
    async with open_tasks() as tasks:
        while not call.lingering.stopping:
            news = tasks.spawn("event stream", _next(entries))
            quiet = call.core.clock.monotonic()
            while not await _arrived(call, news) and not call.lingering.stopping:
                if not await listener.stays():
                    return
                if call.core.clock.monotonic() - quiet >= call.settings.api.stream_heartbeat:
                    yield HEARTBEAT
                    quiet = call.core.clock.monotonic()
            if not news.done() or (entry := news.result()) is None or not await listener.stays():
                return
            if call.core.feed.visible(listener.principal, entry):
                yield event(entry, await call.core.access.names([entry.actor]))


class _Listener:
    """Who listens to one stream, as they are by now."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.principal = call.principal

    async def stays(self) -> bool:
        """Look at the credential again: it may be over or revoked, or open less or more than before."""
        try:
            self.principal = await auth.by_now(self._call.core, self.principal, self._call.headers)
        except Unauthenticated:
            return False
        return self.principal.reaches(Action.EVENT_READ)


async def _next(entries: AsyncIterator[Entry]) -> Entry | None:
    return await anext(entries, None)


async def _arrived(call: Call, news: asyncio.Task[Entry | None]) -> bool:
    """Wait for the next fact; False when it is time to look at the token again, or the server stops."""
    try:
        async with call.lingering.wait(min(auth.RECHECK, call.settings.api.stream_heartbeat)):
            await asyncio.wait([news])
    except TimeoutError:
        return False
    return True


def shape(entry: Entry, names: Mapping[str, str]) -> dict[str, Any]:
    """One fact with what people read for its actor beside it: the chain itself knows no names."""
    return {**wire.plain(entry), "actor_name": names[entry.actor]}


def event(entry: Entry, names: Mapping[str, str]) -> bytes:
    """One fact as a server-sent event (HTML Standard 9.2.6); JSON never holds a raw line break."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (
        entry.seq,
        entry.type.encode(),
        json.write(shape(entry, names)),
    )
