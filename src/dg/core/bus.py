"""Hands the facts of each commit to whoever subscribed, in order, after the commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from dg.core.ledger import Entry

log = logging.getLogger(__name__)

Callback = Callable[[Sequence[Entry]], None]


class Doorbell:
    """Rings when something was committed; what it was is read from the ledger. Made by `Bus.doorbell`."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._closed = False

    def ring(self) -> None:
        self._rung.set()

    def close(self) -> None:
        self._closed = True
        self._rung.set()

    async def wait(self) -> bool:
        """Wait for the first ring since the last `wait`; False when the bus was closed."""
        await self._rung.wait()
        self._rung.clear()
        return not self._closed


class Bus:
    """In-process publish and subscribe. Publishing never waits for a subscriber."""

    def __init__(self) -> None:
        self._subscribers: list[Callback] = []
        self._bells: set[Doorbell] = set()
        self._closed = False
        self.published = 0
        """The newest entry that subscribers were called with; 0 for none yet."""

    def publish(self, entries: Sequence[Entry]) -> None:
        """Call every subscriber with `entries`; one that fails does not keep them from the others."""
        self.published = entries[-1].seq
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

    @contextmanager
    def doorbell(self, wanted: Callable[[Entry], bool]) -> Iterator[Doorbell]:
        """A bell that rings for each commit with an entry that is `wanted`, and at `close`.

        It holds no entries, so a slow reader costs no memory: it reads on from its own cursor.
        """
        bell = Doorbell()
        if self._closed:
            bell.close()

        def deliver(entries: Sequence[Entry]) -> None:
            if any(map(wanted, entries)):
                bell.ring()

        unsubscribe = self.subscribe(deliver)
        self._bells.add(bell)
        try:
            yield bell
        finally:
            self._bells.discard(bell)
            unsubscribe()

    def close(self) -> None:
        """End everyone who waits at a bell, or comes to one later."""
        self._closed = True
        for bell in self._bells:
            bell.close()
