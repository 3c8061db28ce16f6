"""PostgreSQL goes away, answers late or not at all, and belongs to one server at a time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import bindparam
from tests.core.test_database import INSERT, keys, put, tell
from tests.core.wire import Fault, Wire, open_wire
from tests.postgresql import TEMPLATE, Cluster
from tests.scenarios.house import free_port

from dg.core import ledger, schema
from dg.core.bus import Bus
from dg.core.clock import SystemClock
from dg.core.database import Database, Statement, Tx
from dg.core.database.address import address_of, parse_address
from dg.core.database.opening import Databases, open_databases
from dg.core.database.postgresql import PostgresqlDatabase
from dg.core.errors import Invalid, Refused, Unavailable
from dg.core.home import Home
from dg.core.ledger import Entry, Ledger
from dg.core.tasks import open_tasks
from dg.core.testing import eventually
from dg.settings.tree import Database as Settings

VALUE = Statement(sa.select(schema.meta.c.value).where(schema.meta.c.key == bindparam("name")))
SLEEP = Statement(sa.text("SELECT pg_sleep(:seconds)"))


class Server:
    """One server's databases, and what it heard of."""

    def __init__(self, databases: Databases, heard: list[Entry]) -> None:
        self.databases = databases
        self.heard = heard

    @property
    def db(self) -> Database:
        return self.databases.state

    def versions(self) -> list[str]:
        """Of the facts that came out, in order."""
        return [entry.payload["version"] for entry in self.heard]


@asynccontextmanager
async def server(
    path: Path, url: str, *, waits: list[Mapping[str, str]] | None = None, timeout: float = 5.0
) -> AsyncIterator[Server]:
    """A server's way to the database; with `waits` it stands by, and notes for whom."""
    home = Home(path)
    clock, bus, heard = SystemClock(), Bus(), list[Entry]()
    bus.subscribe(heard.extend)
    settings = Settings(timeout=timeout)
    with home.lock():
        async with (
            open_tasks() as tasks,
            open_databases(
                home,
                settings,
                parse_address(url),
                clock=clock,
                tasks=tasks,
                seal=Ledger(clock).seal,
                publish=bus.publish,
                waits=None if waits is None else waits.append,
            ) as databases,
        ):
            yield Server(databases, heard)


@pytest.fixture
def url(cluster: Cluster) -> Iterator[str]:
    """A migrated database."""
    url = cluster.create(TEMPLATE)
    yield url
    cluster.drop(url)


@pytest.fixture(scope="module")
def remote() -> Iterator[Cluster]:
    """A server of this module's own on a port of loopback, to be crashed."""
    with Cluster.running(port=free_port()) as cluster:
        yield cluster


@pytest.fixture
async def wire(remote: Cluster) -> AsyncIterator[Wire]:
    assert remote.port is not None
    async with open_wire(remote.port) as wire:
        yield wire


def through(wire: Wire, url: str) -> str:
    """The same database at the other end of a wire."""
    given = psycopg.conninfo.conninfo_to_dict(url)
    return f"postgresql://{given['user']}@127.0.0.1:{wire.port}/{given['dbname']}"


async def end_sessions(url: str) -> None:
    """As an administrator does, or a server that fails over."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def stored(url: str) -> list[str]:
    """The keys that tests kept."""
    with psycopg.connect(url) as other:
        rows = other.execute("SELECT key FROM meta WHERE length(key) < 8 ORDER BY key").fetchall()
    return [key for (key,) in rows]


async def answers(db: Database) -> bool:
    try:
        await db.write(tell("again"))
        return bool(await db.read(lambda tx: ledger.after(tx, 0, 1)))
    except Unavailable:
        return False


# --- where it is


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://dg:hunter2@db.example.com:5433/deploys",
        "postgresql://dg@db.example.com:5433/deploys?password=hunter2",
    ],
)
def test_a_password_is_shown_nowhere(url: str) -> None:
    address = parse_address(url)
    assert str(address) == "PostgreSQL database deploys on db.example.com:5433 as dg"
    assert "hunter2" not in repr(address)
    assert "hunter2" in address.conninfo


@pytest.mark.parametrize(
    "url", ["mysql://db/dg", "sqlite:///x.db", "db.example.com", "host=db dbname=dg", ""]
)
def test_a_url_of_another_kind_is_refused_with_the_right_form(url: str) -> None:
    with pytest.raises(Invalid, match=r"database\.url: write it as postgresql://"):
        parse_address(url)


def test_a_url_that_cannot_be_read_is_not_repeated() -> None:
    with pytest.raises(Invalid, match="write special characters of its parts as %XX") as caught:
        parse_address("postgresql://dg:hunter2%zz@db/dg?pass=hunter2")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_url_in_a_file_is_read_when_nobody_else_can(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://dg:hunter2@db/deploys\n")
    file.chmod(0o600)
    address = address_of(Settings(url_file=file))
    assert address is not None
    assert "password=hunter2" in address.conninfo
    file.chmod(0o640)
    with pytest.raises(Refused, match="open to others; run `chmod 600"):
        address_of(Settings(url_file=file))
    with pytest.raises(Refused, match="cannot be read"):
        address_of(Settings(url_file=tmp_path / "none"))
    with pytest.raises(Invalid, match="set one of them"):
        address_of(Settings.model_validate({"url": "postgresql://db/dg", "url_file": file}))


def test_without_the_driver_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(Refused, match=r"pip install 'dg\[postgresql\]'") as caught:
        parse_address("postgresql://db/dg")
    assert caught.value.reason == "driver_missing"


async def test_a_server_that_is_not_there_is_named_without_the_password(tmp_path: Path) -> None:
    url = f"postgresql://dg:hunter2@127.0.0.1:{free_port()}/deploys"
    with pytest.raises(Refused, match=r"PostgreSQL database deploys on 127\.0\.0\.1") as caught:
        async with server(tmp_path, url):
            pass
    assert "refused" in caught.value.message
    assert "hunter2" not in caught.value.message


async def test_a_database_that_cannot_hold_all_text_is_refused(tmp_path: Path, cluster: Cluster) -> None:
    with cluster.connect() as admin:
        admin.execute("CREATE DATABASE ascii ENCODING sql_ascii TEMPLATE template0")
    url = cluster.url("ascii")
    with pytest.raises(Refused, match="keeps text as SQL_ASCII"):
        async with server(tmp_path, url):
            pass
    cluster.drop(url)


# --- what is kept


async def test_text_with_a_nul_is_kept_without_it(tmp_path: Path, url: str) -> None:
    async with server(tmp_path, url) as one:
        await one.db.write(lambda tx: tx.run(INSERT, key="nul", value="a\0b"))
        assert await one.db.read(lambda tx: tx.one(VALUE, name="nul")) == {"value": "a\ufffdb"}


async def test_rows_come_one_by_one(tmp_path: Path, url: str) -> None:
    many = Statement(sa.text("SELECT generate_series(1, 1000000000) AS n"))

    def three(tx: Tx) -> list[int]:
        rows = tx.each(many)
        return [next(rows)["n"] for _ in range(3)]

    async with server(tmp_path, url) as one:
        assert await one.db.read(three) == [1, 2, 3]
        assert await one.db.read(three) == [1, 2, 3]


async def test_state_waits_for_the_disk_and_logs_do_not(tmp_path: Path, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off'.encode())
    setting = Statement(sa.text("SELECT current_setting('synchronous_commit') AS value"))
    async with server(tmp_path, url) as one:
        assert await one.db.write(lambda tx: tx.one(setting)) == {"value": "on"}
        assert await one.databases.logs.write(lambda tx: tx.one(setting)) == {"value": "off"}


async def test_sizes_are_told(tmp_path: Path, url: str) -> None:
    async with server(tmp_path, url) as one:
        assert (await one.db.maintain())["bytes"] > 1_000_000
        assert 0 < (await one.databases.logs.sizes())["bytes"] < 1_000_000


async def test_a_unit_that_went_on_after_an_error_is_not_taken_for_done(tmp_path: Path, url: str) -> None:
    def careless(tx: Tx) -> None:
        put("a")(tx)
        try:
            put("a")(tx)
        except psycopg.IntegrityError:
            return

    async with server(tmp_path, url) as one:
        with pytest.raises(Unavailable):
            await one.db.write(careless)
        assert await keys(one.db) == []


# --- it goes away


async def test_connections_that_broke_while_idle_cost_nobody_anything(tmp_path: Path, url: str) -> None:
    async with server(tmp_path, url) as one:
        assert await keys(one.db) == []
        await end_sessions(url)
        assert await keys(one.db) == []
        await one.db.write(put("a"))
        assert await keys(one.db) == ["a"]
        assert one.db.trouble is None


async def test_while_it_is_away_all_are_told_at_once_and_then_it_goes_on(
    tmp_path: Path, remote: Cluster
) -> None:
    url = remote.create()
    async with server(tmp_path, url) as one:
        await one.db.write(put("a"))
        remote.crash()
        try:
            for _ in range(20):
                for work in (one.db.write(put("lost")), one.db.read(lambda tx: tx.one(VALUE, name="a"))):
                    with pytest.raises(Unavailable) as caught:
                        await asyncio.wait_for(work, 10.0)
                    assert caught.value.reason == "database"
            assert one.db.trouble
        finally:
            remote.start()
        await eventually(lambda: one.db.trouble is None)
        await one.db.write(put("b"))
        assert await keys(one.db) == ["a", "b"]
        assert await one.databases.logs.write(lambda tx: tx.run(INSERT, key="c", value="")) == 1


async def test_units_whose_connection_broke_before_the_commit_are_run_again(
    tmp_path: Path, remote: Cluster, wire: Wire
) -> None:
    url = remote.create()
    async with server(tmp_path, through(wire, url)) as one:
        wire.strike(b"INSERT INTO meta", Fault.LOST)
        assert await one.db.write(put("a")) == "a"
    assert stored(url) == ["a"]


async def test_a_commit_whose_answer_was_lost_is_known_to_have_taken_place(
    tmp_path: Path, remote: Cluster, wire: Wire
) -> None:
    url = remote.create()
    async with server(tmp_path, through(wire, url)) as one:
        wire.strike(b"COMMIT", Fault.UNANSWERED)
        await one.db.write(tell("once"))
        assert one.versions() == ["once"]
        found = await one.db.read(lambda tx: ledger.after(tx, 0, 10))
        assert [entry.payload["version"] for entry in found] == ["once"]


async def test_a_commit_that_was_lost_is_known_not_to_have_taken_place(
    tmp_path: Path, remote: Cluster, wire: Wire
) -> None:
    url = remote.create()
    async with server(tmp_path, through(wire, url)) as one:
        wire.strike(b"COMMIT", Fault.LOST)
        with pytest.raises(Unavailable, match="does not answer now"):
            await one.db.write(tell("lost"))
        await one.db.write(tell("kept"))
        assert one.versions() == ["kept"]
        assert (await one.db.read(ledger.head)).seq == 1


async def test_what_took_place_is_told_even_when_nobody_could_wait_for_it(
    tmp_path: Path, remote: Cluster, wire: Wire
) -> None:
    url = remote.create()
    async with server(tmp_path, through(wire, url)) as one:
        wire.strike(b"COMMIT", Fault.UNANSWERED)
        writing = asyncio.ensure_future(one.db.write(tell("once")))
        assert isinstance(one.db, PostgresqlDatabase)
        db = one.db
        await eventually(lambda: db._doubt)
        remote.crash()
        try:
            with pytest.raises(Unavailable, match="may have been done or not"):
                await writing
        finally:
            remote.start()
        await eventually(lambda: one.versions() == ["once"])
        await one.db.write(tell("twice"))
        assert one.versions() == ["once", "twice"]


async def test_a_server_that_does_not_know_yet_that_the_wire_is_cut_gives_the_right_to_write_back(
    tmp_path: Path, remote: Cluster, wire: Wire
) -> None:
    url = remote.create()
    async with server(tmp_path, through(wire, url)) as one:
        wire.strike(b"INSERT INTO meta", Fault.HALF_OPEN)
        with pytest.raises(Unavailable):
            await one.db.write(put("lost"))
        await eventually(lambda: one.db.trouble is None)
        await one.db.write(put("a"))
    assert stored(url) == ["a"]


async def test_a_dead_wire_holds_nobody_for_long(tmp_path: Path, remote: Cluster, wire: Wire) -> None:
    url = remote.create()
    async with server(tmp_path, through(wire, url), timeout=0.5) as one:
        await one.db.write(put("a"))
        wire.dead = True
        writes = [asyncio.ensure_future(one.db.write(put(f"b{n}"))) for n in range(3)]
        reads = [asyncio.ensure_future(keys(one.db)) for _ in range(6)]
        ends = await asyncio.wait_for(asyncio.gather(*writes, *reads, return_exceptions=True), 10.0)
        assert all(isinstance(end, Unavailable) for end in ends)
        wire.dead = False
        await eventually(lambda: answers(one.db))


async def test_a_slow_query_is_ended_and_the_next_one_works(tmp_path: Path, url: str) -> None:
    async with server(tmp_path, url, timeout=0.2) as one:
        for work in (one.db.read, one.db.write):
            with pytest.raises(Unavailable):
                await work(lambda tx: tx.one(SLEEP, seconds=5.0))
            assert await keys(one.db) == []


# --- one server at a time


async def test_a_second_server_waits_and_takes_over(tmp_path: Path, url: str) -> None:
    waits: list[Mapping[str, str]] = []
    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        one = await first.enter_async_context(server(tmp_path / "one", url))
        await one.db.write(put("a"))
        second = server(tmp_path / "two", url, waits=waits)
        opening = asyncio.ensure_future(stack.enter_async_context(second))
        await eventually(lambda: waits)
        assert waits[0]["path"] == str(tmp_path / "one")
        await first.aclose()
        two = await asyncio.wait_for(opening, 30.0)
        assert await keys(two.db) == ["a"]
        assert len(waits) == 1


async def test_a_second_server_that_cannot_wait_is_told_who_is_active(tmp_path: Path, url: str) -> None:
    async with server(tmp_path / "one", url):
        with pytest.raises(Refused, match=f"another dg server is active.*{tmp_path / 'one'}") as caught:
            async with server(tmp_path / "two", url):
                pass
        assert caught.value.reason == "database_locked"


async def test_whoever_lost_the_database_to_another_server_reads_and_writes_no_more(
    tmp_path: Path, remote: Cluster, wire: Wire
) -> None:
    url = remote.create()
    waits: list[Mapping[str, str]] = []
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(server(tmp_path / "one", through(wire, url), timeout=1.0))
        second = server(tmp_path / "two", url, waits=waits)
        opening = asyncio.ensure_future(stack.enter_async_context(second))
        await eventually(lambda: waits)
        wire.dead = True
        await end_sessions(url)
        two = await asyncio.wait_for(opening, 30.0)
        await two.db.write(put("two"))
        wire.dead = False
        await asyncio.wait_for(one.databases.superseded.wait(), 30.0)
        for work in (one.db.write(put("one")), keys(one.db)):
            with pytest.raises(Unavailable) as caught:
                await work
            assert caught.value.reason == "superseded"
        assert await keys(two.db) == ["two"]


async def test_whoever_was_away_while_another_server_came_and_went_gives_up_too(
    tmp_path: Path, remote: Cluster, wire: Wire
) -> None:
    url = remote.create()
    async with server(tmp_path / "one", through(wire, url), timeout=1.0) as one:
        wire.dead = True
        await end_sessions(url)
        async with server(tmp_path / "two", url) as two:
            await two.db.write(put("two"))
        wire.dead = False
        await asyncio.wait_for(one.databases.superseded.wait(), 30.0)
        with pytest.raises(Unavailable):
            await one.db.write(put("one"))
    assert stored(url) == ["two"]
