"""Makes messages of what happened: reads the ledger from a cursor, each entry exactly once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dg.core import ledger
from dg.core.bus import Bus
from dg.core.clock import Clock
from dg.core.database import Database, Tx
from dg.core.errors import Problem
from dg.core.ledger import Entry
from dg.core.outbox import store

log = logging.getLogger(__name__)

_PAGE = 500
_LAG = 1000
"""Entries that are read again after a crash at most, where no message came of them."""
_AGAIN = 1.0


class Follower(Protocol):
    """Something that wants messages outside when things happen."""

    def wants(self, entry: Entry) -> bool:
        """Whether a message may come of it: cheap, and true too often rather than too seldom."""
        ...

    def project(self, tx: Tx, entries: Sequence[Entry]) -> None:
        """Put the messages of these entries, in order, into the outbox."""
        ...


class Following:
    """The way from the ledger to the outbox. The cursor moves in the transaction that puts the messages, so
    that none comes twice or never. `wake` is told when some were put."""

    def __init__(
        self,
        db: Database,
        bus: Bus,
        clock: Clock,
        followers: Sequence[Follower],
        wake: Callable[[], None],
    ) -> None:
        self._db = db
        self._bus = bus
        self._clock = clock
        self._followers = followers
        self._wake = wake
        self._seen = 0
        self._kept = 0
        self._head = 0

    @property
    def figures(self) -> dict[str, Any]:
        """For the diagnostics: up to which entry messages were made, and how many come after it."""
        return {"watermark": self._seen, "behind": max(0, self._head - self._seen)}

    async def begin(self) -> None:
        """Find out where to go on; a ledger that was never followed is followed from its head."""

        def work(tx: Tx) -> tuple[int, int]:
            head = ledger.head(tx).seq
            found = store.cursor(tx)
            # A cursor beyond the head was kept with a ledger that was restored to before it.
            if found is None or found > head:
                store.set_cursor(tx, head)
                found = head
            return found, head

        self._seen, self._head = await self._db.write(work)
        self._kept = self._seen

    async def run(self) -> None:
        """Follow, until the bus closes. `begin` comes first."""
        with self._bus.doorbell(self._wanted) as bell:
            while True:
                try:
                    whole = await self._page()
                except Problem as problem:
                    log.warning("the ledger cannot be followed: %s", problem.message)
                    await self._clock.sleep(_AGAIN)
                    continue
                if whole and not await bell.wait():
                    return

    def _wanted(self, entry: Entry) -> bool:
        self._head = max(self._head, entry.seq)
        return any(follower.wants(entry) for follower in self._followers)

    async def _page(self) -> bool:
        """Take one page; True when it was the last."""
        page = await self._db.read(lambda tx: ledger.after(tx, self._seen, _PAGE))
        if not page:
            return True
        last = page[-1].seq
        wanted = [entry for entry in page if self._wanted(entry)]
        if wanted or last - self._kept >= _LAG:
            await self._db.write(lambda tx: self._project(tx, wanted, last))
            self._kept = last
            self._wake()
        self._seen = last
        return len(page) < _PAGE

    def _project(self, tx: Tx, entries: Sequence[Entry], last: int) -> None:
        for follower in self._followers:
            mine = [entry for entry in entries if follower.wants(entry)]
            if mine:
                follower.project(tx, mine)
        store.set_cursor(tx, last)
