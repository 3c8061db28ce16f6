"""Keeps the output of steps: chunks of whole lines, numbered over the whole deployment, head and tail kept.

They are in a file of their own at lower durability: after a power cut they are read again from the spool.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.database import Database, Row, Statement, Tx
from dg.core.deployments.models import Chunk, LogLine, LogPage

_CHUNK_BYTES = 64 << 10
"""A stored chunk is no larger, so that the last lines of a long log cost one small read."""
_ROWS = 8
"""Chunks that are read at a time: half a MiB at most."""
CHECKOUT = 999
"""The step number under which the runner files what the checkout printed."""

_own = schema.chunks
_c = schema.attached_chunks

_INSERT = Statement(_own.insert())
_DELETE = Statement(
    _own.delete().where(
        _own.c.deployment_id == bindparam("of"),
        _own.c.seq >= bindparam("first"),
        _own.c.seq < bindparam("end"),
    )
)
_DELETE_ALL = Statement(_own.delete().where(_own.c.deployment_id == bindparam("of")))
_TOGETHER = Statement(
    sa.select(_own.c.deployment_id, sa.func.sum(sa.func.length(_own.c.body)).label("bytes")).group_by(
        _own.c.deployment_id
    )
)
_SIZES = Statement(
    sa.select(_own.c.seq, _own.c.lines, sa.func.length(_own.c.body).label("bytes"))
    .where(_own.c.deployment_id == bindparam("of"))
    .order_by(_own.c.seq)
)
_FROM = Statement(
    sa.select(_c)
    .where(_c.c.deployment_id == bindparam("of"), _c.c.seq + _c.c.lines > bindparam("after"))
    .order_by(_c.c.seq)
    .limit(bindparam("limit"))
)
_NEWEST = Statement(
    sa.select(_c)
    .where(_c.c.deployment_id == bindparam("of"))
    .order_by(_c.c.seq.desc())
    .limit(bindparam("limit"))
)


class Writer:
    """Appends one deployment's lines and keeps the whole within its caps. Made by `open_writer`."""

    def __init__(self, db: Database, deployment_id: str, head_bytes: int, tail_bytes: int) -> None:
        self._db = db
        self._id = deployment_id
        self._head_left = head_bytes
        self._tail_left = tail_bytes
        self._tail: deque[tuple[int, int, int]] = deque()
        self.next_seq = 0

    async def append(self, chunks: Iterable[Chunk], at: int) -> None:
        """Keep `chunks`, which came at `at` (microseconds)."""
        pieces = [piece for chunk in chunks for piece in _split(chunk)]
        if not pieces:
            return
        drop = self._account(pieces)

        def work(tx: Tx) -> None:
            for piece in pieces:
                tx.run(
                    _INSERT,
                    deployment_id=self._id,
                    seq=piece.first,
                    lines=piece.lines,
                    step=piece.step,
                    at=at,
                    body=piece.body,
                )
            if drop:
                tx.run(_DELETE, of=self._id, first=drop[0], end=drop[1])

        await self._db.write(work)

    def recall(self, sizes: Sequence[tuple[int, int, int]]) -> None:
        """Take up where another server stopped: `(seq, lines, bytes)` of what is stored."""
        for seq, lines, size in sizes:
            self._count(seq, lines, size)

    def _account(self, pieces: Sequence[Chunk]) -> tuple[int, int] | None:
        for piece in pieces:
            self._count(piece.first, piece.lines, len(piece.body))
        first = end = None
        while self._tail_left < 0 and len(self._tail) > 1:
            seq, lines, size = self._tail.popleft()
            self._tail_left += size
            first = seq if first is None else first
            end = seq + lines
        return None if first is None or end is None else (first, end)

    def _count(self, seq: int, lines: int, size: int) -> None:
        self.next_seq = seq + lines
        if self._head_left > 0 and not self._tail:
            self._head_left -= size
        else:
            self._tail.append((seq, lines, size))
            self._tail_left -= size


async def open_writer(db: Database, deployment_id: str, head_bytes: int, tail_bytes: int) -> Writer:
    """A writer that knows what is stored already."""
    writer = Writer(db, deployment_id, head_bytes, tail_bytes)
    rows = await db.read(lambda tx: tx.all(_SIZES, of=deployment_id))
    writer.recall([(row["seq"], row["lines"], row["bytes"]) for row in rows])
    return writer


def _split(chunk: Chunk) -> Iterator[Chunk]:
    first, body = chunk.first, chunk.body
    while len(body) > _CHUNK_BYTES:
        cut = body.rfind(b"\n", 0, _CHUNK_BYTES) + 1 or body.find(b"\n") + 1
        lines = body.count(b"\n", 0, cut)
        yield Chunk(first, chunk.step, lines, body[:cut])
        first, body = first + lines, body[cut:]
    if body:
        yield Chunk(first, chunk.step, body.count(b"\n"), body)


def forget(tx: Tx, deployment_id: str) -> int:
    """Remove a deployment's lines; called by retention on the logs' own database."""
    return tx.run(_DELETE_ALL, of=deployment_id)


def sizes(tx: Tx) -> dict[str, int]:
    """Bytes of all that have lines, by deployment; asked of the logs' own database."""
    return {row["deployment_id"]: int(row["bytes"]) for row in tx.all(_TOGETHER)}


def page(tx: Tx, deployment_id: str, after: int, limit: int, *, complete: bool) -> LogPage:
    """Up to `limit` lines numbered `after` or more; a page ends where lines were left out."""
    items: list[LogLine] = []
    cursor, ended = after, False
    while len(items) < limit and not ended:
        rows = tx.all(_FROM, of=deployment_id, after=cursor, limit=_ROWS)
        ended = len(rows) < _ROWS
        for row in rows:
            gap = bool(items) and row["seq"] > cursor
            if gap or len(items) >= limit:
                return _page(items, after, complete=False)
            fresh = _lines(row, cursor, limit - len(items))
            items += fresh
            cursor = fresh[-1].seq + 1
            ended = ended and cursor == row["seq"] + row["lines"]
    return _page(items, after, complete=complete and ended)


def _page(items: list[LogLine], after: int, *, complete: bool) -> LogPage:
    return LogPage(
        items=tuple(items),
        next_seq=items[-1].seq + 1 if items else after,
        left_out=items[0].seq - after if items else 0,
        complete=complete,
    )


def _lines(row: Row, after: int, limit: int) -> list[LogLine]:
    skip = max(0, after - row["seq"])
    step = None if row["step"] == CHECKOUT else row["step"]
    return [
        LogLine(seq=row["seq"] + skip + at, at=row["at"], step=step, text=line.decode("utf-8", "replace"))
        for at, line in enumerate(row["body"].split(b"\n")[skip : min(skip + limit, row["lines"])])
    ]


def tail(tx: Tx, deployment_id: str, lines: int) -> tuple[str, ...]:
    """The newest lines, oldest of them first."""
    bodies: list[bytes] = []
    missing = lines
    with closing(tx.each(_NEWEST, of=deployment_id, limit=lines)) as newest:
        while missing > 0 and (row := next(newest, None)) is not None:
            bodies.append(row["body"])
            missing -= row["lines"]
    text = b"".join(reversed(bodies)).decode("utf-8", "replace")
    return tuple(text.split("\n")[-lines - 1 : -1]) if lines else ()
