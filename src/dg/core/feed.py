"""The ledger as a caller may see it: pages, a stream without gaps, and the proof that it is whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import ledger, schema
from dg.core.access.models import SYSTEM, Action, Principal
from dg.core.access.reach import reach
from dg.core.access.service import Access
from dg.core.bus import Bus
from dg.core.clock import Clock, to_datetime
from dg.core.database import Database, Shapes, Tx
from dg.core.errors import Invalid, Unavailable
from dg.core.events import LedgerAnchored
from dg.core.filters import Condition, Field, Fields, Kind, condition, parse
from dg.core.ledger import Check, Entry, Head, Verdict
from dg.core.types import Environment

MAX_LIMIT = 1000

_e = schema.ledger.c
_shapes = Shapes()

FIELDS: Fields = {
    "type": Field(Kind.WORD, (_e.type,)),
    "actor": Field(Kind.PERSON, (_e.actor,)),
    "object": Field(Kind.WORD, (_e.object,)),
    "env": Field(Kind.CHOICE, (_e.environment,), tuple(Environment)),
    "service": Field(Kind.WORD, (_e.service,)),
    "age": Field(Kind.AGE, (_e.at,)),
    "text": Field(Kind.WORD, (_e.type, _e.object, _e.payload)),
}
"""The names by which events are filtered."""


@dataclass(frozen=True)
class Anchor:
    """The head of the ledger as it was once, kept outside the database."""

    seq: int
    hash: str
    at: str


class Feed:
    """Reads for callers; made by `open_feed`."""

    def __init__(
        self, db: Database, access: Access, bus: Bus, clock: Clock, head: Head, anchor_file: Path | None
    ) -> None:
        self._db = db
        self._access = access
        self._bus = bus
        self._clock = clock
        self._newest = head.seq
        self._anchor_file = anchor_file

    async def read(
        self,
        principal: Principal,
        *,
        after: int = 0,
        limit: int = 200,
        filter: str | None = None,  # noqa: A002 - the public word
    ) -> tuple[Entry, ...]:
        """Entries with a greater seq than `after`, oldest first. Raises Invalid for a bad filter or limit."""
        self._access.require_somewhere(principal, Action.EVENT_READ)
        if not 1 <= limit <= MAX_LIMIT:
            raise Invalid(f"limit: from 1 to {MAX_LIMIT}, not {limit}", field="limit")
        return await self._page(self._conditions(principal, filter), after, limit)

    def stream(
        self,
        principal: Principal,
        *,
        after: int | None,
        filter: str | None = None,  # noqa: A002 - the public word
    ) -> AsyncIterator[Entry]:
        """Every entry after `after` (None: from now), as it is committed, until the core closes.

        A slow reader misses nothing and costs nothing: it holds a cursor, not a queue.
        """
        self._access.require_somewhere(principal, Action.EVENT_READ)
        self._conditions(principal, filter)
        return self._follow(principal, self._newest if after is None else after, filter)

    async def _follow(self, principal: Principal, cursor: int, text: str | None) -> AsyncIterator[Entry]:
        with self._bus.doorbell(lambda entry: self.visible(principal, entry)) as bell:
            while True:
                page = await self._page(self._conditions(principal, text), cursor, MAX_LIMIT)
                for entry in page:
                    yield entry
                    cursor = entry.seq
                if len(page) < MAX_LIMIT and not await bell.wait():
                    return

    def visible(self, principal: Principal, entry: Entry) -> bool:
        """Whether `principal` may see it: within the reach of a grant, or done by themselves."""
        return entry.actor == principal.id or principal.may(
            Action.EVENT_READ, entry.environment, entry.service
        )

    def subscribe(self, callback: Callable[[Sequence[Entry]], None]) -> Callable[[], None]:
        """Have `callback` called on the loop after each commit, with everything; it must not block."""
        return self._bus.subscribe(callback)

    async def head(self, principal: Principal) -> Head:
        """The newest entry's seq and hash: whoever remembers it can prove later that nothing was cut off."""
        self._access.require_somewhere(principal, Action.EVENT_READ)
        return await self._db.read(ledger.head)

    async def verify(self, principal: Principal) -> Verdict:
        """Check every entry, the head, and the newest anchor outside. One read a page: writers go on."""
        self._access.require(principal, Action.AUDIT_VERIFY)
        anchor = await asyncio.to_thread(self._read_anchor)
        check = Check()

        def page(tx: Tx) -> Head | None:
            return None if check.page(tx) else ledger.head(tx)

        last = await self._db.read(page)
        while last is None:
            last = await self._db.read(page)
        verdict = check.verdict(last)
        return verdict if anchor is None or not verdict.ok else await self._against(anchor, verdict)

    async def _against(self, anchor: Anchor, verdict: Verdict) -> Verdict:
        found = await self._db.read(lambda tx: ledger.after(tx, anchor.seq - 1, 1))
        if found and found[0].seq == anchor.seq and found[0].hash == anchor.hash:
            return verdict
        what = "has another hash now" if found else "is missing now"
        message = f"entry {anchor.seq}, anchored at {anchor.at}, {what}: the ledger was written anew or cut"
        return Verdict(False, verdict.checked, message, verdict.head_seq, verdict.head_hash, anchor.seq)

    async def anchor(self) -> None:
        """Append the head to the anchor file; does nothing without one or without news. For a job."""
        if self._anchor_file is None:
            return
        head = await self._db.read(ledger.head)
        last = await asyncio.to_thread(self._read_anchor)
        # The fact of an anchor is itself an entry: alone it is no news.
        if head.seq <= (last.seq + 1 if last else 0):
            return
        at = to_datetime(self._clock.micros()).strftime("%Y-%m-%dT%H:%M:%SZ")
        await asyncio.to_thread(_append, self._anchor_file, Anchor(head.seq, head.hash, at))
        await self._db.write(
            lambda tx: tx.append(LedgerAnchored(head_seq=head.seq, head_hash=head.hash), SYSTEM)
        )

    def _read_anchor(self) -> Anchor | None:
        if self._anchor_file is None or not self._anchor_file.exists():
            return None
        try:
            lines = self._anchor_file.read_text("utf-8").splitlines()
            return Anchor(**json.loads(lines[-1])) if lines else None
        except (OSError, ValueError, TypeError) as error:
            raise Unavailable(
                f"the anchor file {self._anchor_file} cannot be read: {error}", reason="anchor"
            ) from None

    def _conditions(self, principal: Principal, text: str | None) -> tuple[Condition, ...]:
        within = reach(principal, Action.EVENT_READ, _e.environment, _e.service)
        own = sa.or_(within.clause, _e.actor == bindparam("myself"))
        mine = Condition(own, {**within.params, "myself": principal.id}, within.shape)
        if not text:
            return (mine,)
        return mine, condition(parse(text), FIELDS, self._clock.micros())

    async def _page(self, conditions: tuple[Condition, ...], after: int, limit: int) -> tuple[Entry, ...]:
        def build() -> sa.ClauseElement:
            clauses = [each.clause for each in conditions]
            newer = sa.select(schema.ledger).where(_e.seq > bindparam("after"), *clauses)
            return newer.order_by(_e.seq).limit(bindparam("limit"))

        statement = _shapes.get(tuple(each.shape for each in conditions), build)
        values: dict[str, Any] = {"after": after, "limit": limit}
        for each in conditions:
            values |= each.params
        rows = await self._db.read(lambda tx: tx.all(statement, **values))
        return tuple(map(ledger.from_row, rows))

    def observe(self, entries: Sequence[Entry]) -> None:
        """Remember the newest entry, which is what "from now" means."""
        self._newest = entries[-1].seq


async def open_feed(
    db: Database, *, access: Access, bus: Bus, clock: Clock, anchor_file: Path | None = None
) -> Feed:
    """The feed of this ledger."""
    feed = Feed(db, access, bus, clock, await db.read(ledger.head), anchor_file)
    bus.subscribe(feed.observe)
    return feed


def _append(path: Path, anchor: Anchor) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"seq": anchor.seq, "hash": anchor.hash, "at": anchor.at}) + "\n")
