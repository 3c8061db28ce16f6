"""Hands the facts of each commit to whoever subscribed, in order, after the commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence

from dg.core.ledger import Entry

log = logging.getLogger(__name__)

Callback = Callable[[Sequence[Entry]], None]


class Bus:
    """In-process publish and subscribe. Publishing never waits for a subscriber."""

    def __init__(self) -> None:
        self._subscribers: list[Callback] = []
        self._closed = asyncio.Event()

    def publish(self, entries: Sequence[Entry]) -> None:
        """Call every subscriber with `entries`; one that fails does not keep them from the others."""
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(entries)
            except Exception:
                log.exception("a subscriber failed on events from %s on", entries[0].seq)

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Have `callback(entries)` called after each commit; it must not block. Returns the end."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

        return unsubscribe

    async def follow(self, size: int) -> AsyncIterator[Sequence[Entry]]:
        """Batches from now on, through a queue of `size`. Ends at `close`; Lagging when it overflows."""
        queue: asyncio.Queue[Sequence[Entry] | None] = asyncio.Queue()
        lagging = False

        def deliver(entries: Sequence[Entry]) -> None:
            nonlocal lagging
            if queue.qsize() < size:
                queue.put_nowait(entries)
            elif not lagging:
                lagging = True
                queue.put_nowait(None)

        unsubscribe = self.subscribe(deliver)
        closing = asyncio.ensure_future(self._closed.wait())
        closing.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (batch := await queue.get()) is not None:
                yield batch
            if lagging:
                raise Lagging
        finally:
            closing.cancel()
            unsubscribe()

    def close(self) -> None:
        """End everyone who follows."""
        self._closed.set()


class Lagging(Exception):
    """A follower was slower than the events; it has to read from its cursor again."""
