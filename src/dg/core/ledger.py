"""The ledger: one append-only, hash-chained table that is event feed, audit log and time machine at once.

Services append facts to their transaction; `seal` turns them into entries inside it, so a change and its
record are one commit. The head row is written last in each transaction and gives `seq` and hash: one integer
cursor is lossless. Actors are references; what names a person stays out of the chain,
so erasing the name leaves it whole. High-volume data (log lines, metrics) never goes in.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import origins, schema
from dg.core.clock import Clock
from dg.core.database import Author, Row, Statement, Tx

GENESIS = "0" * 64

_table = schema.ledger
_head = schema.ledger_head

_HEAD = Statement(sa.select(_head.c.seq, _head.c.hash).where(_head.c.id == 1))
_SET_HEAD = Statement(
    _head.update().where(_head.c.id == 1).values(seq=bindparam("new_seq"), hash=bindparam("new_hash"))
)
_INSERT_HEAD = Statement(_head.insert())
_INSERT = Statement(_table.insert())
_AFTER = Statement(
    sa.select(_table)
    .where(_table.c.seq > bindparam("after"))
    .order_by(_table.c.seq)
    .limit(bindparam("limit"))
)
_AT = Statement(sa.select(_table.c.seq, _table.c.hash).where(_table.c.seq == bindparam("seq")))
_OF_OBJECT = Statement(sa.select(_table).where(_table.c.object == bindparam("object")).order_by(_table.c.seq))


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact as it stands in the chain. `at` is in microseconds; `object` the id of what it is about."""

    seq: int
    at: int
    type: str
    actor: str
    auth: str
    object: str
    environment: str | None
    service: str | None
    payload: dict[str, Any]
    prev: str
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry: what an anchor keeps outside."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """The head of the ledger as it was at a moment (RFC 3339), kept outside the database."""

    seq: int
    hash: str
    at: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check of the chain found. `bad_seq` is the first entry that is not as it was written."""

    ok: bool
    checked: int
    message: str
    head_seq: int
    head_hash: str
    bad_seq: int | None = None


def digest(row: Row) -> str:
    """SHA-256 over the previous hash and every field of the entry, in one unambiguous form."""
    fields = [
        row["prev"],
        row["seq"],
        row["at"],
        row["type"],
        row["actor"],
        row["auth"],
        row["object"],
        row["environment"],
        row["service"],
        row["payload"],
    ]
    return hashlib.sha256(json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


class Ledger:
    """Appends and reads entries; stateless but for the clock and where salts come from."""

    def __init__(self, clock: Clock, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._entropy = entropy

    def seal(self, tx: Tx) -> tuple[Entry, ...]:
        """Append the transaction's facts to the chain; called by the database just before it commits."""
        if not tx.facts:
            return ()
        last = head(tx)
        at = self._clock.micros()
        rows = []
        seq, prev = last.seq, last.hash
        for fact, author in tx.facts:
            seq += 1
            payload = fact.payload() | self._provenance(tx, seq, at, author)
            row: Row = {
                "seq": seq,
                "at": at,
                "type": fact.type,
                "actor": author.id,
                "auth": author.method,
                "object": fact.object,
                "environment": payload.get("environment"),
                "service": payload.get("service"),
                "payload": json.dumps(payload, ensure_ascii=False, separators=(",", ":")),
                "prev": prev,
            }
            row["hash"] = prev = digest(row)
            tx.run(_INSERT, **row)
            rows.append(row)
        _set_head(tx, last.seq, seq, prev)
        return tuple(from_row(row) for row in rows)

    def _provenance(self, tx: Tx, seq: int, at: int, author: Author) -> dict[str, object]:
        """What an entry says of its author beyond their id: who acts as them, and of a request, with which
        rights and from where, which stands in a hash that is kept beside."""
        found: dict[str, object] = {}
        if author.impersonated_by is not None:
            found["impersonated_by"] = author.impersonated_by
        if author.origin.address:
            found["rights"] = author.rights
            found["origin"] = origins.keep(tx, seq, at, author.origin, self._entropy(origins.SALT))
        return found


def _set_head(tx: Tx, old: int, seq: int, value: str) -> None:
    if old == 0 and tx.run(_SET_HEAD, new_seq=seq, new_hash=value) == 0:
        tx.run(_INSERT_HEAD, id=1, seq=seq, hash=value)
    elif old:
        tx.run(_SET_HEAD, new_seq=seq, new_hash=value)


def head(tx: Tx) -> Head:
    """The newest entry's seq and hash; (0, zeros) of an empty ledger."""
    row = tx.one(_HEAD)
    return Head(row["seq"], row["hash"]) if row else Head(0, GENESIS)


def after(tx: Tx, seq: int, limit: int) -> list[Entry]:
    """Entries with a greater seq than `seq`, oldest first."""
    return [from_row(row) for row in tx.all(_AFTER, after=seq, limit=limit)]


def at(tx: Tx, seq: int) -> Head | None:
    """The entry's seq and hash; None when there is none."""
    row = tx.one(_AT, seq=seq)
    return Head(row["seq"], row["hash"]) if row else None


def about(tx: Tx, object_id: str) -> list[Entry]:
    """Everything that happened to one object, oldest first."""
    return [from_row(row) for row in tx.all(_OF_OBJECT, object=object_id)]


def from_row(row: Row) -> Entry:
    return Entry(**{**row, "payload": json.loads(row["payload"])})


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is wrong, and from which entry on."""

    seq: int
    message: str


class Witness(Protocol):
    """Something beside the ledger whose every row an entry vouches for, such as the receipts."""

    def page(self, tx: Tx, rows: Sequence[Row]) -> Doubt | None:
        """Hold what these entries vouch for against them; they come once each, in order."""
        ...

    def end(self, tx: Tx) -> Doubt | None:
        """Look for what no entry vouches for, when all have come."""
        ...


@dataclass(slots=True)
class Check:
    """A running check of the chain, fed page by page so that a long ledger never sits in memory.

    `anchors` are hashes that were kept outside, by the seq of their entries.
    """

    witnesses: Sequence[Witness] = ()
    anchors: Mapping[int, Sequence[Anchor]] = field(default_factory=dict)
    seq: int = 0
    hash: str = GENESIS
    bad_seq: int | None = None
    message: str = ""

    def page(self, tx: Tx, limit: int = 1000) -> bool:
        """Check the next `limit` rows; False when there are no more or one is bad."""
        rows = tx.all(_AFTER, after=self.seq, limit=limit)
        if not rows and self.seq < head(tx).seq:
            # The end is cut off, which the verdict says.
            return False
        whole = all(self._row(row) for row in rows)
        return whole and self._vouched(tx, rows) and bool(rows)

    def _vouched(self, tx: Tx, rows: Sequence[Row]) -> bool:
        for witness in self.witnesses:
            if doubt := witness.page(tx, rows) if rows else witness.end(tx):
                return self._fail(doubt.seq, doubt.message)
        return True

    def _row(self, row: Row) -> bool:
        if self.bad_seq is not None:
            return False
        if row["seq"] != self.seq + 1:
            return self._fail(self.seq + 1, f"entry {self.seq + 1} is missing")
        if row["prev"] != self.hash:
            return self._fail(row["seq"], f"entry {row['seq']} does not follow the one before it")
        if row["hash"] != digest(row):
            return self._fail(row["seq"], f"entry {row['seq']} was changed after it was written")
        for anchor in self.anchors.get(row["seq"], ()):
            if anchor.hash != row["hash"]:
                return self._fail(row["seq"], _broken_anchor(anchor, "has another hash now"))
        self.seq, self.hash = row["seq"], row["hash"]
        return True

    def _fail(self, seq: int, message: str) -> bool:
        self.bad_seq, self.message = seq, message
        return False

    def verdict(self, last: Head) -> Verdict:
        """The end of the check against the head row."""
        if self.bad_seq is None and (self.seq, self.hash) != (last.seq, last.hash):
            self._fail(
                self.seq + 1, f"the ledger ends at {self.seq} but its head says {last.seq}: rows are missing"
            )
        beyond = [anchor for seq in self.anchors if seq > last.seq for anchor in self.anchors[seq]]
        if self.bad_seq is None and beyond:
            first = min(beyond, key=lambda anchor: anchor.seq)
            self._fail(first.seq, _broken_anchor(first, "is missing now"))
        ok = self.bad_seq is None
        message = f"{self.seq} entries, chain whole" if ok else self.message
        return Verdict(ok, self.seq, message, last.seq, last.hash, self.bad_seq)


def check(tx: Tx, witnesses: Sequence[Witness] = ()) -> Verdict:
    """Check the whole chain at once: for a database that nobody writes to meanwhile."""
    running = Check(witnesses)
    while running.page(tx):
        pass
    return running.verdict(head(tx))


def _broken_anchor(anchor: Anchor, what: str) -> str:
    return f"entry {anchor.seq}, anchored at {anchor.at}, {what}: the ledger was written anew or cut"


def plain(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Entries as JSON values, for exports."""
    return [{name: getattr(entry, name) for name in Entry.__slots__} for entry in entries]
