"""The ledger as a stream: server-sent events that go on where they stopped, each fact once and in order."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from dg.client.errors import Unintelligible, Unreachable
from dg.client.http import Http, Patience, path
from dg.client.models import Event, EventPage, Verdict
from dg.client.wire import decode

SILENCE = 60.0
"""Seconds without even a heartbeat after which a stream counts as lost."""

LONGEST_LINE = 4 << 20
"""Bytes."""


@dataclass(frozen=True)
class Message:
    """One server-sent event: `id` as the stream has it by then, `data` with its lines joined."""

    id: str
    data: str


class Events:
    """The server's facts, those that the caller may see."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def read(
        self, *, after: int = 0, limit: int | None = None, matching: str | None = None
    ) -> EventPage:
        """One page of the facts with `seq` above `after`."""
        query = {"after": after, "limit": limit, "filter": matching}
        return decode(EventPage, await self._http.get(path("events"), query))

    async def all(self, *, after: int = 0, matching: str | None = None) -> AsyncGenerator[Event]:
        """Facts with `seq` above `after`, as far as there are any now."""
        while True:
            page = await self.read(after=after, matching=matching)
            for fact in page.items:
                yield fact
            if page.next_after <= after:
                return
            after = page.next_after

    async def verify(self) -> Verdict:
        """Check the ledger's chain from its first entry."""
        return decode(Verdict, await self._http.get(path("events", "verify"), wait=600))

    async def follow(self, *, after: int | None = None, matching: str | None = None) -> AsyncGenerator[Event]:
        """Facts with `seq` above `after` and all that come, without end; None is from now on.

        A lost connection is taken up again behind the last fact, with growing pauses; raises Unreachable when
        there was no server for two minutes.
        """
        patience = Patience(self._http)
        while True:
            try:
                async with aclosing(self.listen(after=after, matching=matching)) as stream:
                    async for heard in stream:
                        patience.restore()
                        seq = heard if isinstance(heard, int) else heard.seq
                        if isinstance(heard, Event) and (after is None or seq > after):
                            yield heard
                        after = seq if after is None else max(seq, after)
            except Unreachable as error:
                await patience.spend(error)

    async def listen(
        self, *, after: int | None = None, matching: str | None = None
    ) -> AsyncGenerator[Event | int]:
        """One connection as long as it lasts, facts as in `follow`; a number says where the stream stands.

        For callers who show that it broke and go on themselves, behind the last number or fact. Raises
        Unreachable when it is lost, also when it ends well.
        """
        async with aclosing(self._messages(after, matching)) as stream:
            async for message in stream:
                seq = _seq(message)
                yield decode(Event, _json(message.data)) if message.data else seq

    async def _messages(self, after: int | None, matching: str | None) -> AsyncGenerator[Message]:
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        async with self._http.stream(
            path("events"), {"filter": matching}, accept="text/event-stream", headers=headers, silence=SILENCE
        ) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise Unintelligible(
                    f"{self._http.url} answered without an event stream: is that a dg server?"
                )
            async for message in messages(response.aiter_bytes()):
                yield message
        raise Unreachable(f"{self._http.url} ended the event stream", url=self._http.url)


async def messages(blocks: AsyncIterator[bytes]) -> AsyncIterator[Message]:
    """Server-sent events of a stream's bytes, an unfinished last one left out (HTML Standard 9.2.6).

    Lines end in LF or CRLF. A block that only sets the id comes as a message without data: it says where the
    stream stands.
    """
    last, fresh, data = "", False, list[str]()
    async for line in _lines(blocks):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if last and (fresh or data):
                yield Message(last, "\n".join(data))
            fresh, data = False, []
        elif field == "id":
            last, fresh = value, True
        elif field == "data":
            data.append(value)


async def _lines(blocks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    # str.splitlines, which httpx uses, also splits at U+2028 and its like, which JSON may hold as they are.
    rest = b""
    async for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > LONGEST_LINE:
            raise Unintelligible("the event stream has a line without end: is that a dg server?")
        for line in lines:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")


def _seq(message: Message) -> int:
    try:
        return int(message.id)
    except ValueError as error:
        raise Unintelligible("the event stream's id is not a number: is that a dg server?") from error


def _json(data: str) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unintelligible(
            "the event stream holds something else than JSON: is that a dg server?"
        ) from error
