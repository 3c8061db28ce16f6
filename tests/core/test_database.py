"""The unit of work: what commits together, what fails alone, and what a sick disk does."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import bindparam
from tests.core.disk import SmallDisk
from tests.core.vandal import INTEGRITY, ask

from dg.core import ledger, schema
from dg.core.access.models import SYSTEM
from dg.core.clock import SystemClock
from dg.core.database import (
    Database,
    Shapes,
    SqliteDatabase,
    SqliteFile,
    Statement,
    Tx,
    open_database,
)
from dg.core.database.postgresql import PostgresqlDatabase
from dg.core.database.writer import Outcome, Unit
from dg.core.errors import Refused, Unavailable
from dg.core.events import ServerStarted
from dg.core.ledger import Entry
from dg.core.tasks import open_tasks
from dg.core.testing import Ground, eventually, make_home, open_ground

_m = schema.meta
INSERT = Statement(_m.insert())
ALL = Statement(sa.select(_m).order_by(_m.c.key))
FIND = Statement(sa.select(_m.c.value).where(_m.c.key == bindparam("name")))
CHANGE = Statement(sa.update(_m).where(_m.c.key == bindparam("name")).values(value=bindparam("to")))
ENDLESS = Statement(
    sa.text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE i < 0"
    )
)


def put(key: str, value: str = "v") -> Callable[[Tx], str]:
    """A unit of work that keeps `value` under `key`."""

    def work(tx: Tx) -> str:
        tx.run(INSERT, key=key, value=value)
        return key

    return work


def tell(version: str) -> Callable[[Tx], None]:
    """A unit of work that only makes a fact true."""
    return lambda tx: tx.append(ServerStarted(version=version), SYSTEM)


async def keys(db: Database) -> list[str]:
    rows = await db.read(lambda tx: tx.all(ALL))
    return [row["key"] for row in rows if len(row["key"]) < 8]


@pytest.fixture
async def ground(tmp_path: Path, database_url: str | None) -> AsyncIterator[Ground]:
    async with open_ground(tmp_path, SystemClock(), url=database_url) as ground:
        yield ground


@pytest.fixture
async def in_home(tmp_path: Path) -> AsyncIterator[Ground]:
    """On SQLite alone."""
    async with open_ground(tmp_path, SystemClock()) as ground:
        yield ground


# --- one commit for many


async def test_a_failing_unit_undoes_only_itself(ground: Ground) -> None:
    def fail(tx: Tx) -> None:
        put("lost")(tx)
        raise Refused("no")

    results = await asyncio.gather(
        ground.db.write(put("a")),
        ground.db.write(fail),
        ground.db.write(put("a")),
        ground.db.write(lambda tx: tx.run(Statement(sa.text("SELECT * FROM nowhere")))),
        ground.db.write(put("b")),
        return_exceptions=True,
    )
    assert results[0] == "a"
    assert results[4] == "b"
    assert isinstance(results[1], Refused)
    assert isinstance(results[2], INTEGRITY)
    assert isinstance(results[3], sqlite3.OperationalError | psycopg.ProgrammingError)
    assert await keys(ground.db) == ["a", "b"]


async def test_units_that_come_together_share_one_commit(ground: Ground) -> None:
    commits = []
    real = ground.db._commit_batch

    async def counted(batch: Sequence[Unit[Any]]) -> Sequence[Outcome]:
        commits.append(len(batch))
        return await real(batch)

    ground.db._commit_batch = counted  # type: ignore[method-assign]
    await asyncio.gather(*(ground.db.write(put(f"k{n:02}")) for n in range(50)))
    assert sum(commits) == 50
    assert len(commits) <= 2
    assert len(await keys(ground.db)) == 50


async def test_facts_come_out_after_the_commit_and_in_order(ground: Ground) -> None:
    seen: list[tuple[str, bool]] = []

    def deliver(entries: Sequence[Entry]) -> None:
        for entry in entries:
            found = ask(ground, f"SELECT count(*) FROM ledger WHERE seq = {entry.seq}")  # noqa: S608
            seen.append((entry.payload["version"], found == [(1,)]))

    ground.bus.subscribe(deliver)
    await asyncio.gather(*(ground.db.write(tell(str(n))) for n in range(20)))
    assert seen == [(str(n), True) for n in range(20)]


async def test_facts_of_a_failing_unit_never_come_out(ground: Ground) -> None:
    def fail(tx: Tx) -> None:
        tx.append(ServerStarted(version="lost"), SYSTEM)
        raise Refused("no")

    with pytest.raises(Refused):
        await ground.db.write(fail)
    await ground.db.write(tell("kept"))
    entries = await ground.db.read(lambda tx: ledger.after(tx, 0, 10))
    assert [(entry.seq, entry.payload["version"]) for entry in entries] == [(1, "kept")]


async def test_a_fact_that_cannot_be_sealed_fails_its_unit_alone(ground: Ground) -> None:
    bad, good = await asyncio.gather(
        ground.db.write(tell("\ud800")),
        ground.db.write(put("a")),
        return_exceptions=True,
    )
    assert isinstance(bad, UnicodeEncodeError)
    assert good == "a"


async def test_a_caller_who_goes_away_leaves_no_open_transaction(ground: Ground) -> None:
    started, release = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        put("slow")(tx)
        started.set()
        assert release.wait(10)

    caller = asyncio.ensure_future(ground.db.write(slow))
    await asyncio.to_thread(started.wait, 10)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    release.set()
    assert await ground.db.write(put("next")) == "next"
    assert await keys(ground.db) == ["next", "slow"]
    if isinstance(ground.db, SqliteDatabase):
        assert not ground.db._writer.in_transaction


async def test_closing_commits_what_was_handed_in(tmp_path: Path, database_url: str | None) -> None:
    async with open_ground(tmp_path, SystemClock(), url=database_url) as ground:
        handed_in = [asyncio.ensure_future(ground.db.write(put(f"k{number:03}"))) for number in range(100)]
        await asyncio.sleep(0)
    assert all(unit.done() for unit in handed_in)
    async with open_ground(tmp_path, SystemClock(), url=database_url) as ground:
        assert len(await keys(ground.db)) == 100


async def test_closing_ends_every_thread(tmp_path: Path, database_url: str | None) -> None:
    before = threads()
    async with open_ground(tmp_path, url=database_url) as ground:
        await keys(ground.db)
        assert threads() > before
    await eventually(lambda: threads() <= before)


def threads() -> int:
    """Without those of the event loop, which it keeps."""
    return sum(not thread.name.startswith("asyncio") for thread in threading.enumerate())


# --- reading


async def test_reads_go_on_beside_a_slow_write_and_do_not_see_it(ground: Ground) -> None:
    started, release = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        put("slow")(tx)
        started.set()
        assert release.wait(10)

    writing = asyncio.ensure_future(ground.db.write(slow))
    await asyncio.to_thread(started.wait, 10)
    assert await asyncio.wait_for(keys(ground.db), 30) == []
    assert ground.db.stalled > 0
    release.set()
    await writing
    assert await keys(ground.db) == ["slow"]
    assert ground.db.stalled == 0


async def test_one_read_sees_one_moment(ground: Ground) -> None:
    first, go = threading.Event(), threading.Event()

    def twice(tx: Tx) -> tuple[int, int]:
        before = len(tx.all(ALL))
        first.set()
        assert go.wait(10)
        return before, len(tx.all(ALL))

    reading = asyncio.ensure_future(ground.db.read(twice))
    await asyncio.to_thread(first.wait, 10)
    await ground.db.write(put("new"))
    go.set()
    before, after = await reading
    assert before == after


async def test_a_glance_sees_what_a_read_sees_in_the_loops_own_thread(in_home: Ground) -> None:
    await in_home.db.write(put("a"))
    threads: list[int] = []

    def look(tx: Tx) -> list[str]:
        threads.append(threading.get_ident())
        return [row["key"] for row in tx.all(ALL)]

    assert await in_home.db.glance(look) == await in_home.db.read(look)
    assert threads[0] == threading.get_ident() != threads[1]


async def test_a_glance_that_takes_long_goes_on_beside_the_loop(in_home: Ground) -> None:
    threads: list[int] = []

    def look(tx: Tx) -> str:
        threads.append(threading.get_ident())
        if threading.get_ident() == threads[0] and len(threads) == 1:
            tx.one(ENDLESS)
        return "seen"

    assert await in_home.db.glance(look) == "seen"
    assert len(set(threads)) == 2


async def test_a_glance_cannot_write(ground: Ground) -> None:
    with pytest.raises(Unavailable, match=r"(?i)read_?only"):
        await ground.db.glance(put("a"))


async def test_a_row_is_the_one_that_was_committed_last(ground: Ground) -> None:
    assert await ground.db.row(FIND, name="a") is None
    await ground.db.write(put("a", "old"))
    assert await ground.db.row(FIND, name="a") == ("old",)
    await ground.db.write(lambda tx: tx.run(CHANGE, name="a", to="new"))
    assert await ground.db.row(FIND, name="a") == ("new",)


async def test_a_row_is_read_beside_the_loop_where_that_fails_in_it(in_home: Ground) -> None:
    await in_home.db.write(put("a"))
    assert isinstance(in_home.db, SqliteDatabase)
    in_home.db._glancer.close()
    assert await in_home.db.row(FIND, name="a") == ("v",)


async def test_asking_for_a_row_cannot_write(ground: Ground) -> None:
    with pytest.raises(Unavailable, match=r"(?i)read_?only"):
        await ground.db.row(INSERT, key="a", value="v")
    assert await ground.db.row(FIND, name="a") is None


async def test_a_reader_cannot_write(ground: Ground) -> None:
    with pytest.raises(Unavailable):
        await ground.db.read(put("x"))


async def test_an_endless_query_ends_and_the_next_one_works(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    clock = SystemClock()
    async with (
        open_tasks() as tasks,
        open_database(SqliteFile(home.state, readers=1, read_timeout=0.2), clock=clock, tasks=tasks) as db,
    ):
        with pytest.raises(Unavailable) as caught:
            await db.read(lambda tx: tx.all(ENDLESS))
        assert caught.value.reason == "query_timeout"
        assert await keys(db) == []


async def test_a_reader_that_was_given_up_blocks_nobody_and_comes_back(ground: Ground) -> None:
    started, release = threading.Event(), threading.Event()

    def slow(_: Tx) -> None:
        started.set()
        assert release.wait(10)

    reading = asyncio.ensure_future(ground.db.read(slow))
    await asyncio.to_thread(started.wait, 10)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    for _ in range(3):
        assert await asyncio.wait_for(keys(ground.db), 30) == []
    release.set()
    db = ground.db
    assert isinstance(db, SqliteDatabase | PostgresqlDatabase)
    await eventually(lambda: db._readers.qsize() == 2)


# --- a sick disk, another process


async def test_another_process_that_writes_costs_a_sentence_not_a_hang(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    async with (
        open_tasks() as tasks,
        open_database(SqliteFile(home.state, busy_timeout=0.1), clock=SystemClock(), tasks=tasks) as db,
    ):
        with closing(sqlite3.connect(home.state, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match="SQLITE_BUSY"):
                await db.write(put("x"))
            assert await keys(db) == []
            assert db.trouble
            other.execute("ROLLBACK")
        await db.write(put("y"))
        assert not db.trouble


async def test_a_full_disk_refuses_writes_answers_reads_and_heals(small_disk: SmallDisk) -> None:
    async with open_ground(small_disk.path, SystemClock()) as ground:
        await ground.db.write(put("kept"))
        small_disk.fill()
        with pytest.raises(Unavailable) as caught:
            await ground.db.write(put("much", "x" * 500_000))
        assert caught.value.reason == "database"
        assert ground.db.trouble
        assert await keys(ground.db) == ["kept"]
        small_disk.free()
        await ground.db.write(put("healed"))
        assert not ground.db.trouble
    with closing(sqlite3.connect(ground.home.state)) as check:
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.long
async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    writer = subprocess.Popen(  # noqa: ASYNC220 - the test itself does nothing beside
        [sys.executable, "-c", _WRITER, str(home.path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline().strip() for _ in range(200)]
    writer.kill()
    acknowledged += writer.stdout.read().split()
    writer.stdout.close()
    writer.wait()
    async with open_ground(tmp_path, SystemClock()) as ground:
        assert set(acknowledged) <= set(await keys(ground.db))
        last = await ground.db.read(ledger.head)
        assert last.seq >= len(acknowledged)
    with closing(sqlite3.connect(home.state)) as check:
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)


_WRITER = """
import asyncio, sys
from pathlib import Path
from dg.core import schema
from dg.core.access.models import SYSTEM
from dg.core.clock import SystemClock
from dg.core.database import Statement
from dg.core.events import ServerStarted
from dg.core.testing import open_ground

INSERT = Statement(schema.meta.insert())

async def main():
    async with open_ground(Path(sys.argv[1]), SystemClock()) as ground:
        async def one(n):
            def work(tx):
                tx.run(INSERT, key=str(n), value="v")
                tx.append(ServerStarted(version=str(n)), SYSTEM)
            await ground.db.write(work)
            print(n, flush=True)
        for start in range(0, 1_000_000, 8):
            await asyncio.gather(*(one(start + n) for n in range(8)))

asyncio.run(main())
"""


# --- how it is opened


async def test_state_is_durable_and_logs_are_not_paid_for(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    async with open_tasks() as tasks:
        for file, level in ((SqliteFile(home.state), 2), (SqliteFile(home.logs, durable=False), 1)):
            async with open_database(file, clock=SystemClock(), tasks=tasks) as db:
                for pragma, value in (("synchronous", level), ("secure_delete", 1), ("foreign_keys", 1)):
                    statement = Statement(sa.text(f"PRAGMA {pragma}"))
                    row = await db.write(partial(Tx.one, statement=statement))
                    assert row == {pragma: value}
                row = await db.read(lambda tx: tx.one(Statement(sa.text("PRAGMA journal_mode"))))
                assert row == {"journal_mode": "wal"}


async def test_files_are_the_owners_alone(in_home: Ground) -> None:
    await in_home.db.write(put("a"))
    modes = {file.name: file.stat().st_mode & 0o077 for file in in_home.home.path.glob("*.db*")}
    assert "dg.db-wal" in modes
    assert not any(modes.values())


async def test_the_logs_are_read_beside_the_state(ground: Ground) -> None:
    statement = Statement(sa.select(schema.attached_chunks))
    assert await ground.db.read(lambda tx: tx.all(statement)) == []


async def test_maintenance_reports_sizes(in_home: Ground) -> None:
    await in_home.db.write(put("a"))
    sizes = await in_home.db.maintain()
    assert sizes["bytes"] == in_home.home.state.stat().st_size


def test_the_private_hop_of_aiosqlite_is_the_one_that_was_read() -> None:
    assert version("aiosqlite").startswith("0.22.")


# --- statements


def test_a_statement_is_compiled_for_both_databases() -> None:
    statement = Statement(sa.select(_m.c.value).where(_m.c.key == bindparam("name"), _m.c.value == "fixed"))
    assert ":name" in statement.compiled("sqlite").sql
    assert "%(name)s" in statement.compiled("postgresql").sql
    assert list(statement.compiled("sqlite").constants.values()) == ["fixed"]
    assert statement.compiled("sqlite") is statement.compiled("sqlite")


def test_shapes_keep_the_newest() -> None:
    shapes = Shapes(size=2)
    first = {name: shapes.get(name, lambda: sa.select(_m)) for name in ("a", "b", "a", "c")}
    again = {name: shapes.get(name, lambda: sa.select(_m)) for name in ("a", "c", "b")}
    assert [first[name] is again[name] for name in "abc"] == [True, False, True]


async def test_values_are_never_read_as_sql(ground: Ground) -> None:
    hostile = "'; DROP TABLE meta; --"
    await ground.db.write(put(hostile))
    assert await ground.db.read(lambda tx: tx.one(FIND, name=hostile)) == {"value": "v"}


async def test_a_subscriber_that_fails_neither_stops_the_writer_nor_the_others(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    def broken(_: object) -> None:
        raise RuntimeError("broken subscriber")

    ground.bus.subscribe(broken)
    ground.bus.subscribe(lambda entries: seen.append(entries[0].seq))
    for _ in range(2):
        await ground.db.write(tell("1"))
    assert seen == [1, 2]
    assert "broken subscriber" in caplog.text


async def test_the_waiting_units_are_counted(ground: Ground) -> None:
    release = threading.Event()
    slow = asyncio.ensure_future(ground.db.write(lambda _: release.wait(10)))
    await eventually(lambda: ground.db.stalled)
    more = [asyncio.ensure_future(ground.db.write(put(f"{n}"))) for n in range(3)]
    await eventually(lambda: ground.db.waiting == 3)
    release.set()
    await asyncio.gather(slow, *more)
    assert ground.db.waiting == 0
