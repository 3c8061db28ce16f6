"""The way to the database: `await db.write(fn)`, `await db.read(fn)`; `fn(tx)` is plain synchronous code.

Only this module imports aiosqlite. Services hand it functions that touch nothing but `tx`; it runs them in
the connection's own thread, one hop per transaction (research/engine 3). Writers that come together share
one COMMIT, each in a savepoint of its own: one fsync pays for all and one failure undoes only itself.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import AsyncIterator, Callable, Generator, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from dg.core.clock import Clock
from dg.core.errors import Problem, Refused, Unavailable
from dg.core.events import Fact
from dg.core.remember import Remembered
from dg.core.tasks import Tasks

T = TypeVar("T")
Row = dict[str, Any]

_BATCH = 64
"""Units of work that may share one COMMIT: more only makes the first of them wait."""


def _postgresql() -> sa.Dialect:
    # Imported where it is spoken: it brings half a dozen drivers along, which every start would pay for.
    from sqlalchemy.dialects import postgresql

    return cast(sa.Dialect, postgresql.dialect(paramstyle="pyformat"))  # type: ignore[no-untyped-call]


_GLANCE = 0.02
"""Seconds for which a look may hold up the event loop."""

_DIALECTS: Mapping[str, Callable[[], sa.Dialect]] = {
    "sqlite": functools.partial(sqlite.dialect, paramstyle="named"),
    "postgresql": _postgresql,
}


class Author(Protocol):
    """Who makes a fact true: a reference and the way they proved it."""

    @property
    def id(self) -> str: ...

    @property
    def method(self) -> str: ...


@dataclass(slots=True)
class _Compiled:
    sql: str
    constants: dict[str, Any]
    columns: tuple[str, ...] = ()


class Statement:
    """A SQLAlchemy Core statement, compiled once per dialect to plain SQL.

    Tables hold only text, integers, floats and bytes, so no value needs a processor on its way in or out.
    """

    __slots__ = ("_clause", "_compiled")

    def __init__(self, clause: sa.ClauseElement) -> None:
        self._clause = clause
        self._compiled: dict[str, _Compiled] = {}

    def compiled(self, dialect: str) -> _Compiled:
        found = self._compiled.get(dialect)
        if found is None:
            raw = self._clause.compile(
                dialect=_DIALECTS[dialect](), compile_kwargs={"render_postcompile": True}
            )
            constants = {key: value for key, value in raw.params.items() if value is not None}
            found = self._compiled[dialect] = _Compiled(str(raw), constants)
        return found


class Shapes:
    """A bounded cache of statements whose text depends on which filters are given."""

    def __init__(self, size: int = 256) -> None:
        self._statements: Remembered[Statement] = Remembered(size)

    def get(self, shape: Hashable, build: Callable[[], sa.ClauseElement]) -> Statement:
        """The statement for `shape`; `build` makes it the first time (values come later, as parameters)."""
        return self._statements.get(shape, lambda: Statement(build()))


class Tx:
    """One open transaction. Facts appended to it enter the ledger just before it commits."""

    def __init__(self, connection: sqlite3.Connection, dialect: str = "sqlite") -> None:
        self._connection = connection
        self._dialect = dialect
        self.facts: list[tuple[Fact, Author]] = []

    def all(self, statement: Statement, **values: Any) -> list[Row]:
        """Every row, as dictionaries by column name."""
        compiled, cursor = self._execute(statement, values)
        columns = compiled.columns
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]

    def each(self, statement: Statement, **values: Any) -> Generator[Row, None, None]:
        """Row by row; what is not taken is not read."""
        compiled, cursor = self._execute(statement, values)
        with closing(cursor):
            for row in cursor:
                yield dict(zip(compiled.columns, row, strict=True))

    def one(self, statement: Statement, **values: Any) -> Row | None:
        """The first row, or None."""
        compiled, cursor = self._execute(statement, values)
        row = cursor.fetchone()
        return None if row is None else dict(zip(compiled.columns, row, strict=True))

    def run(self, statement: Statement, **values: Any) -> int:
        """Rows that changed."""
        return self._execute(statement, values)[1].rowcount

    def append(self, fact: Fact, by: Author) -> None:
        """Make `fact` part of this transaction."""
        self.facts.append((fact, by))

    def _execute(self, statement: Statement, values: dict[str, Any]) -> tuple[_Compiled, sqlite3.Cursor]:
        compiled = statement.compiled(self._dialect)
        cursor = self._connection.execute(compiled.sql, {**compiled.constants, **values})
        if not compiled.columns and cursor.description:
            compiled.columns = tuple(column[0] for column in cursor.description)
        return compiled, cursor


Seal = Callable[[Tx], Sequence[Any]]
"""Turns the facts of a transaction into ledger entries, inside it."""
Publish = Callable[[Sequence[Any]], None]
"""Hands the entries of a commit on, after it, in order."""


@dataclass(slots=True)
class _Unit(Generic[T]):
    fn: Callable[[Tx], T]
    future: asyncio.Future[T]


@dataclass(slots=True)
class _Outcome:
    value: Any = None
    error: BaseException | None = None
    entries: Sequence[Any] = ()


@dataclass(frozen=True)
class SqliteFile:
    """One SQLite file and how durable it is: FULL for state, NORMAL for what can be read again elsewhere."""

    path: Path
    durable: bool = True
    attach: Mapping[str, Path] = field(default_factory=dict)
    busy_timeout: float = 10.0
    readers: int = 2
    read_timeout: float = 10.0


class Database:
    """One writing connection with group commit and a few reading ones, each with a thread of its own, and one
    for glances in the event loop's. Made by `open_database`.
    """

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
        self.file = file
        self._writer = writer
        self._readers: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()
        for reader in readers:
            self._readers.put_nowait(reader)
        self._glancer = glancer
        self._clock = clock
        self._tasks = tasks
        self._seal = seal
        self._publish = publish
        self._units: asyncio.Queue[_Unit[Any]] = asyncio.Queue()
        self._broken: str | None = None
        self._busy_since: float | None = None

    @property
    def stalled(self) -> float:
        """Seconds for which the writer has been at the commit it is at now."""
        since = self._busy_since
        return 0.0 if since is None else self._clock.monotonic() - since

    @property
    def trouble(self) -> str | None:
        """Why the last commit failed, None when it went well: what `/health` says."""
        return self._broken

    @property
    def waiting(self) -> int:
        """Units of work that wait for the writer."""
        return self._units.qsize()

    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` in a transaction and return its value after COMMIT.

        `fn` may be run again and must touch only `tx`. What it raises undoes it alone and is raised here.
        Raises Unavailable when the database itself refuses (disk full, I/O error, locked).
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._units.put_nowait(_Unit(fn, future))
        return await future

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` against one consistent snapshot, beside the writer."""
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
        """`read` for a few rows by their keys: at once, in the event loop's thread.

        The hop to another thread and back costs several times what such a look does. What takes longer than
        a moment, or meets a file that is busy, is begun again as a `read`, so `fn` may be run twice.
        """
        try:
            return self._snapshot(self._glancer, fn, _GLANCE)
        except Unavailable:
            return await self.read(fn)

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

    async def serve(self) -> None:
        """The writer: commits what comes, together what comes together, until it is cancelled."""
        while True:
            batch = [await self._units.get()]
            while len(batch) < _BATCH and not self._units.empty():
                batch.append(self._units.get_nowait())
            self._busy_since = self._clock.monotonic()
            outcomes = await asyncio.shield(_hop(self._writer, self._commit, batch))
            self._busy_since = None
            for outcome in outcomes:
                if outcome.entries:
                    self._publish(outcome.entries)
            for unit, outcome in zip(batch, outcomes, strict=True):
                _settle(unit.future, outcome)
                self._units.task_done()

    async def drain(self) -> None:
        """Commit what was handed in before closing."""
        await self._units.join()

    def _commit(self, connection: sqlite3.Connection, batch: Sequence[_Unit[Any]]) -> list[_Outcome]:
        changes = connection.total_changes
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._run(connection, unit.fn) for unit in batch]
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._broken = str(error)
            return [_Outcome(error=_translate(error)) for _ in batch]
        if connection.total_changes > changes:
            # A commit without changes touches no disk and proves nothing.
            self._broken = None
        return outcomes

    def _run(self, connection: sqlite3.Connection, fn: Callable[[Tx], Any]) -> _Outcome:
        connection.execute("SAVEPOINT unit")
        tx = Tx(connection)
        try:
            outcome = _Outcome(value=fn(tx), entries=self._seal(tx))
        except Exception as error:
            if isinstance(error, sqlite3.OperationalError) and not _is_statement_error(error):
                # A full disk or an I/O error ends the whole transaction, not this unit alone.
                raise
            connection.execute("ROLLBACK TO unit")
            outcome = _Outcome(error=error)
        connection.execute("RELEASE unit")
        return outcome

    async def maintain(self) -> dict[str, int]:
        """Checkpoint the write-ahead log; sizes in bytes. Called by the retention job."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            connection.execute("PRAGMA optimize")

        await _hop(self._writer, work)
        return self.sizes()

    def sizes(self) -> dict[str, int]:
        """Bytes of the file and of its write-ahead log."""
        wal = self.file.path.with_name(self.file.path.name + "-wal")
        return {
            "bytes": self.file.path.stat().st_size,
            "wal_bytes": wal.stat().st_size if wal.exists() else 0,
        }


def _settle(future: asyncio.Future[Any], outcome: _Outcome) -> None:
    if future.done():
        return
    if outcome.error is None:
        future.set_result(outcome.value)
    else:
        future.set_exception(outcome.error)


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
    (research/engine 3) and a test holds the pinned version to it.
    """
    run = connection._execute(fn, connection._conn, *args)  # type: ignore[no-untyped-call]  # noqa: SLF001
    return cast(T, await run)


def _connect(file: SqliteFile, *, reading: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(file.path, isolation_level=None, timeout=file.busy_timeout)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -20000")
    for name, path in file.attach.items():
        connection.execute(f"ATTACH DATABASE ? AS {name}", (str(path),))
    if reading:
        connection.execute("PRAGMA query_only = ON")
        return connection
    connection.execute(f"PRAGMA synchronous = {'FULL' if file.durable else 'NORMAL'}")
    connection.execute("PRAGMA journal_size_limit = 67108864")
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
) -> AsyncIterator[Database]:
    """Open a migrated SQLite file; closing commits what was handed in and ends the connections' threads."""
    opened: list[aiosqlite.Connection] = []
    try:
        for reading in [False] + [True] * file.readers:
            connect = functools.partial(_connect, file, reading=reading)
            opened.append(await aiosqlite.Connection(connect, iter_chunk_size=64))
        with closing(_connect(replace(file, busy_timeout=0.0), reading=True)) as glancer:
            database = Database(file, opened[0], opened[1:], glancer, clock, tasks, seal, publish)
            writer = tasks.spawn(f"database writer {file.path.name}", database.serve())
            try:
                yield database
            finally:
                await database.drain()
                await tasks.stop(writer)
    finally:
        for connection in reversed(opened):
            await connection.close()
