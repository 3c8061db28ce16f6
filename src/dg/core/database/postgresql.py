"""PostgreSQL: one writing session, which holds the right to write, and a few reading ones; a thread for each.

Units of work run one after another as on SQLite, so no rule of a service has to be proved again for
concurrent transactions (docs/decisions/0012).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa

from dg.core.clock import Clock
from dg.core.database.address import Address
from dg.core.database.candidate import in_thread
from dg.core.database.claim import Claim, Superseded
from dg.core.database.session import Connection, Session, translate, unreachable
from dg.core.database.statements import Compiled, Row, Statement
from dg.core.database.transactions import Cursor, Publish, Seal, Tx
from dg.core.database.writer import Database, Outcome, Unit
from dg.core.errors import Problem, Unavailable
from dg.core.tasks import Tasks

log = logging.getLogger(__name__)

T = TypeVar("T")

_BEAT = 0.5
"""Seconds between two looks at the writing session, and between two tries to have it back."""
_DOUBT = 3.0
"""Seconds for which a caller waits to learn whether a commit took place whose answer was lost."""
_PATIENCE = 1.0
"""Seconds that a closing session may take to say goodbye."""
SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_ROWS = 8


class PostgresqlTx(Tx):
    """A transaction on PostgreSQL."""

    dialect = "postgresql"

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._postgresql = connection
        self.changes = False

    def each(self, statement: Statement, **values: Any) -> Generator[Row, None, None]:
        compiled = statement.compiled(self.dialect)
        # A cursor of the server's: psycopg's own would fetch everything at once.
        cursor = self._postgresql.cursor("each")
        cursor.itersize = _ROWS
        with closing(cursor):
            cursor.execute(compiled.sql.encode(), _clean({**compiled.constants, **values}))
            columns = [column.name for column in cursor.description or ()]
            for row in cursor:
                yield dict(zip(columns, row, strict=True))

    def run(self, statement: Statement, **values: Any) -> int:
        self.changes = True
        return super().run(statement, **values)

    def _execute(self, statement: Statement, values: dict[str, Any]) -> tuple[Compiled, Cursor]:
        return super()._execute(statement, _clean(values))


def _clean(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: clean(value) for name, value in values.items()}


def clean(value: Any) -> Any:
    """The value as PostgreSQL can keep it: its text cannot hold a NUL, and what programs print may."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


@dataclass
class _Doubt:
    """A commit whose answer was lost. `took_place` is known once the writing session is back."""

    outcomes: Sequence[Outcome]
    took_place: bool | None = None


class _Unanswered(Exception):
    """The connection was lost while the commit was under way: it may have taken place."""

    def __init__(self, doubt: _Doubt) -> None:
        self.doubt = doubt


class PostgresqlDatabase(Database):
    """One PostgreSQL database. Made by `open_postgresql`."""

    def __init__(
        self,
        writer: Session,
        readers: Sequence[Session],
        claim: Claim | None,
        *,
        clock: Clock,
        seal: Seal,
        publish: Publish,
        timeout: float,
        size: str,
    ) -> None:
        super().__init__(clock, seal, publish)
        self.superseded = asyncio.Event()
        """Set when another server became the active one: then nothing is read or written here any more."""
        self._writer = writer
        self._claim = claim
        self._timeout = timeout
        self._size = Statement(sa.text(f"SELECT {size} AS bytes"))
        self._threads = ThreadPoolExecutor(len(readers) + 1, thread_name_prefix="postgresql")
        self._readers: asyncio.LifoQueue[Session] = asyncio.LifoQueue()
        for reader in readers:
            self._readers.put_nowait(reader)
        self._reading = tuple(readers)
        self._at_work: set[asyncio.Future[Any]] = set()
        self._writing = asyncio.Lock()
        self._away = False
        """Whether the last try to have the writing session back failed: then nobody waits for the next."""
        self._doubt: _Doubt | None = None

    # --- in the event loop -----------------------------------------------------------------------

    async def write(self, fn: Callable[[Tx], T]) -> T:
        self._check()
        if self._away:
            raise _down()
        try:
            async with asyncio.timeout(self._timeout):
                return await super().write(fn)
        except TimeoutError:
            raise _unknown() from None

    async def read(self, fn: Callable[[Tx], T]) -> T:
        self._check()
        try:
            async with asyncio.timeout(self._timeout):
                reader = await self._readers.get()
                return await self._hop(
                    reader, self._snapshot, reader, fn, then=lambda: self._readers.put_nowait(reader)
                )
        except TimeoutError:
            raise _down() from None

    async def glance(self, fn: Callable[[Tx], T]) -> T:
        return await self.read(fn)

    async def maintain(self) -> dict[str, int]:
        return await self.sizes()

    async def sizes(self) -> dict[str, int]:
        return await self.read(lambda tx: dict(tx.one(self._size) or {}))

    async def watch(self) -> None:
        """See to the writing session until cancelled: notice that it is gone, and have it back."""
        while not self.superseded.is_set():
            await self._clock.sleep(_BEAT)
            async with self._writing:
                if await self._alive():
                    continue
                if await self._restore() and (doubt := self._doubt):
                    # Whoever waited has gone; what took place is told all the same.
                    self._doubt = None
                    for outcome in doubt.outcomes if doubt.took_place else ():
                        if outcome.entries:
                            self._publish(outcome.entries)

    async def close(self) -> None:
        """Close the sessions but the writing one, which is its opener's, and end all threads."""
        if self._at_work:
            await asyncio.wait(self._at_work, timeout=_PATIENCE)
        if self._at_work:
            for session in (*self._reading, self._writer):
                session.cut()
        await in_thread(self._threads.shutdown)
        for session in self._reading:
            session.close()

    async def _commit_batch(self, batch: Sequence[Unit[Any]]) -> Sequence[Outcome]:
        async with self._writing:
            if self._away:
                return [Outcome(error=_down()) for _ in batch]
            try:
                return await self._hop(self._writer, self._commit, batch)
            except _Unanswered as unanswered:
                return await self._find_out(unanswered.doubt)
            except Superseded:
                self._give_up()
                return [Outcome(error=_down()) for _ in batch]
            except (psycopg.Error, Problem) as error:
                self._away = self._writer.lost
                self._complain(error)
                problem = translate(error) if isinstance(error, psycopg.Error) else error
                return [Outcome(error=problem) for _ in batch]

    async def _find_out(self, doubt: _Doubt) -> Sequence[Outcome]:
        """What became of a commit whose answer was lost: whoever waits is told once it is certain."""
        # No time-out around a try: its thread would go on with the session beside the next one.
        until = self._clock.monotonic() + _DOUBT
        while not await self._restore() and not self.superseded.is_set() and self._clock.monotonic() < until:
            await self._clock.sleep(_BEAT / 5)
        if doubt.took_place is None:
            return [Outcome(error=_unknown()) for _ in doubt.outcomes]
        self._doubt = None
        return doubt.outcomes if doubt.took_place else [Outcome(error=_down()) for _ in doubt.outcomes]

    async def _alive(self) -> bool:
        if self._writer.lost:
            return False
        try:
            await self._hop(self._writer, lambda: self._writer.kept().execute("SELECT 1"))
        except psycopg.Error as error:
            self._complain(error)
        return not self._writer.lost

    async def _restore(self) -> bool:
        """Try to have the writing session back; False when it must be tried again."""
        try:
            await self._hop(self._writer, self._restored)
        except Superseded:
            self._give_up()
            return False
        except (psycopg.Error, Problem) as error:
            self._away = True
            self._complain(error)
            return False
        self._away = False
        self._broken = None
        log.info("the database answers again")
        return True

    def _hop(
        self, session: Session, fn: Callable[..., T], *args: Any, then: Callable[[], None] = lambda: None
    ) -> asyncio.Future[T]:
        """Run `fn(*args)` in a thread; the session is cut when that takes longer than statements may.

        Whoever waits may go away: `then` is called when the thread is done with the session.
        """
        loop = asyncio.get_running_loop()
        cut = loop.call_later(self._timeout + 1.0, session.cut)
        work = loop.run_in_executor(self._threads, fn, *args)
        self._at_work.add(work)
        work.add_done_callback(self._at_work.discard)
        work.add_done_callback(lambda _: cut.cancel())
        work.add_done_callback(lambda _: then())
        return asyncio.shield(work)

    def _check(self) -> None:
        if self.superseded.is_set():
            raise Unavailable("another server took this database over", reason="superseded")

    def _give_up(self) -> None:
        self._broken = "another server took this database over"
        log.error("another server took the database over: this one stops acting")
        self.superseded.set()

    def _complain(self, error: Exception) -> None:
        if self._broken is None:
            log.warning("the database does not answer as it should: %s", " ".join(str(error).split()))
        self._broken = f"{type(error).__name__}"

    # --- in a thread -----------------------------------------------------------------------------

    def _snapshot(self, reader: Session, fn: Callable[[Tx], T]) -> T:
        again = not reader.lost
        while True:
            try:
                return _look(reader.open(), fn)
            except psycopg.Error as error:
                # A connection that broke while nobody read says so only now.
                if not (again and reader.lost):
                    raise translate(error) from error
                again = False

    def _commit(self, batch: Sequence[Unit[Any]]) -> Sequence[Outcome]:
        try:
            return self._transaction(self._writer.kept(), batch)
        except psycopg.errors.ReadOnlySqlTransaction:
            # This server is a stand-by now: another may be found in its place.
            self._writer.close()
            raise
        except psycopg.Error:
            if not self._writer.lost:
                raise
        # It broke before the commit, perhaps while nobody wrote: nothing took place, units may run again.
        return self._transaction(self._restored(), batch)

    def _restored(self) -> Connection:
        """The writing session's connection, with the lock again. Raises psycopg.Error, Superseded."""
        connection = self._writer.open()
        try:
            if self._claim is not None:
                self._claim.renew(connection)
                if self._doubt is not None:
                    self._doubt.took_place = self._claim.took_place(connection)
        except BaseException:
            self._writer.close()
            raise
        return connection

    def _transaction(self, connection: Connection, batch: Sequence[Unit[Any]]) -> Sequence[Outcome]:
        transactions = [PostgresqlTx(connection) for _ in batch]
        try:
            connection.execute(f"BEGIN; {self._claim.next_mark()}".encode() if self._claim else b"BEGIN")
            outcomes = [
                self._run(connection, tx, unit.fn, alone=len(batch) == 1)
                for tx, unit in zip(transactions, batch, strict=True)
            ]
            if not any(
                tx.changes and not outcome.error for tx, outcome in zip(transactions, outcomes, strict=True)
            ):
                connection.execute("ROLLBACK")
                return outcomes
            self._end(connection, outcomes)
        except BaseException:
            if not self._writer.lost:
                connection.execute("ROLLBACK")
            raise
        self._broken = None
        return outcomes

    def _run(
        self, connection: Connection, tx: PostgresqlTx, fn: Callable[[Tx], Any], *, alone: bool
    ) -> Outcome:
        if not alone:
            connection.execute("SAVEPOINT unit")
        try:
            outcome = Outcome(value=fn(tx), entries=self._seal(tx))
            if not alone:
                connection.execute("RELEASE unit")
        except Exception as error:
            if self._writer.lost:
                # Whatever it looks like to `fn`.
                raise psycopg.OperationalError("the connection was lost") from error
            if not alone:
                connection.execute("ROLLBACK TO unit")
            if isinstance(error, psycopg.OperationalError | psycopg.InternalError):
                self._complain(error)
                return Outcome(error=translate(error))
            return Outcome(error=error)
        return outcome

    def _end(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        try:
            said = connection.execute("COMMIT").statusmessage
        except psycopg.Error:
            if not self._writer.lost:
                raise
            self._doubt = _Doubt(outcomes)
            raise _Unanswered(self._doubt) from None
        if said != "COMMIT":
            raise psycopg.errors.InFailedSqlTransaction("a unit of work went on after an error")


def _look(connection: Connection, fn: Callable[[Tx], T]) -> T:
    connection.execute(SNAPSHOT)
    try:
        return fn(PostgresqlTx(connection))
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")


def _down() -> Unavailable:
    return Unavailable("the database does not answer now; try again in a moment", reason="database")


def _unknown() -> Unavailable:
    return Unavailable(
        "the database went away before it answered, so this may have been done or not: "
        "look, or ask again with the same Idempotency-Key",
        reason="database",
    )


@asynccontextmanager
async def open_postgresql(
    address: Address,
    writer: Session,
    claim: Claim | None,
    *,
    clock: Clock,
    tasks: Tasks,
    timeout: float,
    readers: int = 2,
    size: str = "pg_database_size(current_database())",
    seal: Seal = lambda _: (),
    publish: Publish = lambda _: None,
) -> AsyncIterator[PostgresqlDatabase]:
    """Open a migrated database; closing commits what was handed in and gives the right to write back."""
    try:
        if claim is None:
            await in_thread(writer.open)
        else:
            await in_thread(claim.enter, writer.kept())
    except psycopg.Error as error:
        raise unreachable(address, error) from None
    reading = [Session(address, timeout, {"default_transaction_read_only": "on"}) for _ in range(readers)]
    database = PostgresqlDatabase(
        writer, reading, claim, clock=clock, seal=seal, publish=publish, timeout=timeout, size=size
    )
    work = [tasks.spawn("database writer", database.serve()), tasks.spawn("database watch", database.watch())]
    try:
        yield database
    finally:
        await database.drain()
        for task in work:
            await tasks.stop(task)
        await database.close()
