"""SQLite: one writing connection, a few reading ones with a thread each, and one for glances in the loop's.

The only importer of aiosqlite.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import aiosqlite

from dg.core.clock import Clock
from dg.core.database.statements import Statement
from dg.core.database.transactions import Publish, Seal, Tx
from dg.core.database.writer import Database, Outcome, Unit
from dg.core.errors import Problem, Refused, Unavailable
from dg.core.tasks import Tasks

T = TypeVar("T")

WAL_LIMIT = 64 << 20
"""Bytes to which a write-ahead log shrinks back; one that stays longer has a reader that lets it not end."""
_GLANCE = 0.02
"""Seconds for which a look may hold up the event loop."""


@dataclass(frozen=True)
class SqliteFile:
    """One SQLite file and how durable it is: FULL for state, NORMAL for what can be read again elsewhere."""

    path: Path
    durable: bool = True
    attach: Mapping[str, Path] = field(default_factory=dict)
    busy_timeout: float = 10.0
    readers: int = 2
    read_timeout: float = 10.0


class SqliteDatabase(Database):
    """One SQLite file. Made by `open_database`."""

    def __init__(
        self,
        file: SqliteFile,
        writer: aiosqlite.Connection,
        readers: Sequence[aiosqlite.Connection],
        glancer: sqlite3.Connection,
        clock: Clock,
        tasks: Tasks,
        seal: Seal,
        publish: Publish,
    ) -> None:
        super().__init__(clock, seal, publish)
        self.file = file
        self._writer = writer
        self._readers: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()
        for reader in readers:
            self._readers.put_nowait(reader)
        self._glancer = glancer
        self._tasks = tasks

    @property
    def backlog(self) -> int:
        wal = self.file.path.with_name(self.file.path.name + "-wal")
        return wal.stat().st_size if wal.exists() else 0

    async def read(self, fn: Callable[[Tx], T]) -> T:
        reader = await self._readers.get()
        try:
            found: T = await _hop(reader, self._snapshot, fn, self.file.read_timeout)
        except asyncio.CancelledError:
            # Its thread is still at the query: whoever took it now would wait behind that.
            self._tasks.spawn("a reader comes back", self._give_back(reader))
            raise
        except BaseException:
            self._readers.put_nowait(reader)
            raise
        self._readers.put_nowait(reader)
        return found

    async def _give_back(self, reader: aiosqlite.Connection) -> None:
        await _hop(reader, lambda _: None)
        self._readers.put_nowait(reader)

    async def glance(self, fn: Callable[[Tx], T]) -> T:
        """At once, in the event loop's thread: the hop to another and back costs several times what it does.

        What takes longer than a moment, or meets a file that is busy, is begun again as a `read`.
        """
        try:
            return self._snapshot(self._glancer, fn, _GLANCE)
        except Unavailable:
            return await self.read(fn)

    async def row(self, statement: Statement, **values: Any) -> tuple[Any, ...] | None:
        """Without a transaction, which one statement is by itself, and without a deadline: a key is quick."""
        try:
            return Tx(self._glancer).values(statement, **values)
        except sqlite3.Error:
            return await self.read(lambda tx: tx.values(statement, **values))

    def _snapshot(self, connection: sqlite3.Connection, fn: Callable[[Tx], T], seconds: float) -> T:
        deadline = self._clock.monotonic() + seconds
        connection.set_progress_handler(lambda: self._clock.monotonic() > deadline, 20_000)
        try:
            connection.execute("BEGIN")
            return fn(Tx(connection))
        except sqlite3.Error as error:
            raise _translate(error) from error
        finally:
            connection.set_progress_handler(None, 0)
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    async def _commit_batch(self, batch: Sequence[Unit[Any]]) -> Sequence[Outcome]:
        return await _hop(self._writer, self._commit, batch)

    def _commit(self, connection: sqlite3.Connection, batch: Sequence[Unit[Any]]) -> list[Outcome]:
        changes = connection.total_changes
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._run(connection, unit.fn) for unit in batch]
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._broken = str(error)
            return [Outcome(error=_translate(error)) for _ in batch]
        if connection.total_changes > changes:
            # A commit without changes touches no disk and proves nothing.
            self._broken = None
        return outcomes

    def _run(self, connection: sqlite3.Connection, fn: Callable[[Tx], Any]) -> Outcome:
        connection.execute("SAVEPOINT unit")
        tx = Tx(connection)
        try:
            outcome = Outcome(value=fn(tx), entries=self._seal(tx))
        except Exception as error:
            if isinstance(error, sqlite3.OperationalError) and not _is_statement_error(error):
                # A full disk or an I/O error ends the whole transaction, not this unit alone.
                raise
            connection.execute("ROLLBACK TO unit")
            outcome = Outcome(error=error)
        connection.execute("RELEASE unit")
        return outcome

    async def maintain(self) -> dict[str, int]:
        """Checkpoint the write-ahead log."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            # The lock first: who asks for it with a snapshot in hand is refused at once, not made to wait.
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute("PRAGMA optimize")
            finally:
                connection.execute("COMMIT")

        await _hop(self._writer, work)
        return await self.sizes()

    async def sizes(self) -> dict[str, int]:
        """Bytes of the file and of its write-ahead log."""
        return {"bytes": self.file.path.stat().st_size, "wal_bytes": self.backlog}


def _is_statement_error(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR


def _translate(error: sqlite3.Error) -> Problem:
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    if name == "SQLITE_INTERRUPT":
        return Unavailable("the query took too long; ask for less", reason="query_timeout")
    return Unavailable(f"the database cannot do that now ({name}): {error}", reason="database")


async def _hop(connection: aiosqlite.Connection, fn: Callable[..., T], *args: Any) -> T:
    """Run `fn(sqlite3_connection, *args)` in the connection's thread.

    aiosqlite offers statements only; its one hop for a whole function is private, so it is used here alone
    and a test holds the pinned version to it.
    """
    run = connection._execute(fn, connection._conn, *args)  # type: ignore[no-untyped-call]  # noqa: SLF001
    return cast(T, await run)


def _connect(file: SqliteFile, *, reading: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(file.path, isolation_level=None, timeout=file.busy_timeout)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -20000")
    if reading:
        # A writer would hold the lock of what it attaches for as long as its own.
        for name, path in file.attach.items():
            connection.execute(f"ATTACH DATABASE ? AS {name}", (str(path),))
        connection.execute("PRAGMA query_only = ON")
        return connection
    connection.execute(f"PRAGMA synchronous = {'FULL' if file.durable else 'NORMAL'}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
    connection.execute("PRAGMA secure_delete = ON")
    return connection


def prepare(path: Path) -> None:
    """Create the file, private to its owner and in WAL mode, before anything else opens it.

    Raises Refused for one that cannot be written or is no database.
    """
    try:
        path.touch(mode=0o600)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
    except (OSError, sqlite3.Error) as error:
        raise Refused(
            f"the database {path} cannot be used: {error}; make it writable, or restore it from a backup",
            reason="database_unusable",
        ) from None


@asynccontextmanager
async def open_database(
    file: SqliteFile,
    *,
    clock: Clock,
    tasks: Tasks,
    seal: Seal = lambda _: (),
    publish: Publish = lambda _: None,
) -> AsyncIterator[SqliteDatabase]:
    """Open a migrated SQLite file; closing commits what was handed in and ends the connections' threads."""
    opened: list[aiosqlite.Connection] = []
    try:
        for reading in [False] + [True] * file.readers:
            connect = functools.partial(_connect, file, reading=reading)
            opened.append(await aiosqlite.Connection(connect, iter_chunk_size=64))
        with closing(_connect(replace(file, busy_timeout=0.0), reading=True)) as glancer:
            database = SqliteDatabase(file, opened[0], opened[1:], glancer, clock, tasks, seal, publish)
            writer = tasks.spawn(f"database writer {file.path.name}", database.serve())
            try:
                yield database
            finally:
                await database.drain()
                await tasks.stop(writer)
    finally:
        for connection in reversed(opened):
            await connection.close()
