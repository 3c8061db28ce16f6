"""The ledger as a caller may see it: pages, a stream without gaps, and the proof that it is whole."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import ledger, schema
from dg.core.access.models import SYSTEM, Action, Principal
from dg.core.access.reach import reach
from dg.core.access.service import Access
from dg.core.anchors import Anchors
from dg.core.bus import Bus
from dg.core.clock import Clock, to_datetime
from dg.core.database import Database, Shapes, Statement, Tx
from dg.core.errors import Invalid, Problem, Refused
from dg.core.events import AccessDenied, LedgerAnchored
from dg.core.filters import Condition, Field, Fields, Kind, condition, parse
from dg.core.ledger import Anchor, Check, Entry, Head, Verdict, Witness
from dg.core.sighting import Sighting
from dg.core.types import Environment

log = logging.getLogger(__name__)

MAX_LIMIT = 1000

_e = schema.ledger.c
_shapes = Shapes()
_HOME = Statement(sa.select(schema.meta.c.value).where(schema.meta.c.key == "home_id"))

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


class Feed:
    """Reads for callers; made by `open_feed`."""

    def __init__(
        self,
        db: Database,
        access: Access,
        bus: Bus,
        clock: Clock,
        sighting: Sighting,
        anchors: Anchors,
        witnesses: Callable[[], Sequence[Witness]],
    ) -> None:
        self._db = db
        self._access = access
        self._bus = bus
        self._clock = clock
        self.sighting = sighting
        """How far the ledger reaches, for whoever may know that there is one."""
        self._anchors = anchors
        self._witnesses = witnesses

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
        by_then: Callable[[], Principal] | None = None,
    ) -> AsyncIterator[Entry]:
        """Every entry after `after` (None: from now), as it is committed, until the core closes.

        A slow reader misses nothing and costs nothing: it holds a cursor, not a queue. `by_then` says who
        reads when more is looked for: what they may see can change meanwhile.
        """
        self._access.require_somewhere(principal, Action.EVENT_READ)
        self._conditions(principal, filter)
        reader = by_then or (lambda: principal)
        return self._follow(reader, self.sighting.seq if after is None else after, filter)

    async def _follow(
        self, reader: Callable[[], Principal], cursor: int, text: str | None
    ) -> AsyncIterator[Entry]:
        with self._bus.doorbell(lambda entry: self.visible(reader(), entry)) as bell:
            while True:
                page = await self._page(self._conditions(reader(), text), cursor, MAX_LIMIT)
                for entry in page:
                    yield entry
                    cursor = entry.seq
                if len(page) < MAX_LIMIT and not await bell.wait():
                    return

    def visible(self, principal: Principal, entry: Entry) -> bool:
        """Whether `principal` may see it: within the reach of a grant, or done by themselves.

        What they were denied is not among what they did: it would tell them that there was something.
        """
        own = entry.actor == principal.id and entry.type != AccessDenied.type
        return own or principal.may(Action.EVENT_READ, entry.environment, entry.service)

    def subscribe(self, callback: Callable[[Sequence[Entry]], None]) -> Callable[[], None]:
        """Have `callback` called on the loop after each commit, with everything; it must not block."""
        return self._bus.subscribe(callback)

    async def head(self, principal: Principal) -> Head:
        """The newest entry's seq and hash: whoever remembers it can prove later that nothing was cut off."""
        self._access.require_somewhere(principal, Action.EVENT_READ)
        return await self._db.read(ledger.head)

    async def entry(self, seq: int) -> Head | None:
        """The seq and hash of one entry, which tell nothing of what it says; None when there is none."""
        return await self._db.glance(lambda tx: ledger.at(tx, seq))

    async def verify(self, principal: Principal) -> Verdict:
        """Check every entry, the head, what entries vouch for, and the anchors that a file keeps outside.

        One read a page: writers go on. Raises Unavailable when the anchor file cannot be read.
        """
        self._access.require(principal, Action.AUDIT_VERIFY)
        check = Check(self._witnesses(), _by_seq(await self._anchors.read()))

        def page(tx: Tx) -> Head | None:
            return None if check.page(tx) else ledger.head(tx)

        last = await self._db.read(page)
        while last is None:
            last = await self._db.read(page)
        return check.verdict(last)

    async def anchor(self) -> None:
        """Keep the head outside; does nothing without news. For a job, whose trouble the health shows.

        A ledger that is not the one that was anchored last is anchored no more: that would hide it.
        """
        if not self._anchors.wanted:
            return
        try:
            await self._anchor()
        except Problem as problem:
            self._anchors.trouble = problem.message
            log.error("%s", problem.message)
        else:
            self._anchors.trouble = None

    async def _anchor(self) -> None:
        kept = await self._anchors.read()
        newest = kept[-1] if kept else None
        head, found = await self._db.read(
            lambda tx: (ledger.head(tx), ledger.at(tx, newest.seq) if newest else None)
        )
        if newest and (found is None or found.hash != newest.hash):
            raise Refused(
                f"the ledger is not the one whose entry {newest.seq} was anchored at {newest.at}: "
                "`dg audit verify` says where it differs; after a restore, begin a new anchor file",
                reason="anchor",
            )
        now = to_datetime(self._clock.micros()).strftime("%Y-%m-%dT%H:%M:%SZ")
        if await self._anchors.keep(Anchor(head.seq, head.hash, now), newest.seq if newest else 0):
            fact = LedgerAnchored(head_seq=head.seq, head_hash=head.hash)
            await self._db.write(lambda tx: tx.append(fact, SYSTEM))

    def _conditions(self, principal: Principal, text: str | None) -> tuple[Condition, ...]:
        within = reach(principal, Action.EVENT_READ, _e.environment, _e.service)
        own = sa.and_(_e.actor == bindparam("myself"), _e.type != bindparam("denied"))
        values = {**within.params, "myself": principal.id, "denied": AccessDenied.type}
        mine = Condition(sa.or_(within.clause, own), values, within.shape)
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
        self.sighting = replace(self.sighting, seq=entries[-1].seq, hash=entries[-1].hash)


async def open_feed(
    db: Database,
    *,
    access: Access,
    bus: Bus,
    clock: Clock,
    anchors: Anchors | None = None,
    witnesses: Callable[[], Sequence[Witness]] = tuple,
) -> Feed:
    """The feed of this ledger; `witnesses` makes those of one check."""
    sighting = await db.read(_sighting)
    feed = Feed(db, access, bus, clock, sighting, anchors or Anchors(), witnesses)
    bus.subscribe(feed.observe)
    return feed


def _sighting(tx: Tx) -> Sighting:
    head = ledger.head(tx)
    return Sighting(str((tx.one(_HOME) or {"value": ""})["value"]), head.seq, head.hash)


def _by_seq(anchors: Sequence[Anchor]) -> Mapping[int, Sequence[Anchor]]:
    found: dict[int, list[Anchor]] = {}
    for anchor in anchors:
        found.setdefault(anchor.seq, []).append(anchor)
    return found
