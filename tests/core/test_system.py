"""Health and diagnostics: true when all is well, and true when it is not."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.core.access.room import access_to
from tests.core.disk import SmallDisk

from dg import __version__
from dg.core import ledger, schema
from dg.core.access.models import SYSTEM
from dg.core.bus import Bus
from dg.core.clock import Clock, SystemClock
from dg.core.database import WAL_LIMIT, SqliteDatabase, SqliteFile, Statement, Tx, open_database
from dg.core.errors import Forbidden, Unavailable
from dg.core.events import ServerStarted
from dg.core.system import LoopLag, System
from dg.core.testing import Ground, ManualClock, eventually, open_ground, person, settle
from dg.settings.server import Health

INSERT = Statement(schema.meta.insert())


@asynccontextmanager
async def opened(
    path: Path, clock: Clock | None = None, settings: Health | None = None
) -> AsyncIterator[tuple[Ground, System]]:
    """A system over an open home with both databases."""
    async with open_ground(path, clock or SystemClock()) as ground:
        access = await access_to(ground)
        file = SqliteFile(ground.home.logs, durable=False, busy_timeout=0.1)
        async with open_database(file, clock=ground.clock, tasks=ground.tasks) as logs:
            yield (
                ground,
                System(
                    state=ground.db,
                    logs=logs,
                    home=ground.home,
                    clock=ground.clock,
                    access=access,
                    settings=settings or Health(),
                    lag=LoopLag(ground.clock),
                    gauges={"active_runs": lambda: 3},
                ),
            )


async def test_all_is_well(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, made):
        health = await made.health()
    assert (health.status, health.version) == ("ok", __version__)
    assert set(health.checks) == {"database", "disk", "writes_state", "writes_logs"}
    assert set(health.checks.values()) == {"ok"}


async def test_health_says_nothing_about_the_machine(tmp_path: Path) -> None:
    async with opened(tmp_path) as (ground, made):
        with closing(sqlite3.connect(ground.home.state, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            health = await made.health()
    assert str(tmp_path) not in json.dumps(health.checks)


async def test_a_writer_that_is_stuck_is_said(tmp_path: Path) -> None:
    release = threading.Event()
    async with opened(tmp_path, settings=Health(writes_stalled=0.05)) as (ground, made):
        slow = asyncio.ensure_future(ground.db.write(lambda _: release.wait(10)))
        await eventually(lambda: ground.db.stalled > 0.05)
        health = await made.health()
        release.set()
        await slow
        assert (health.status, health.checks["writes_state"]) == ("degraded", "stuck")
        assert (await made.health()).status == "ok"


async def test_readers_that_all_hang_are_said(tmp_path: Path) -> None:
    release = threading.Event()
    async with opened(tmp_path, settings=Health(reads_stalled=0.05)) as (ground, made):
        assert isinstance(ground.db, SqliteDatabase)
        hung = [
            asyncio.ensure_future(ground.db.read(lambda _: release.wait(10)))
            for _ in range(ground.db.file.readers)
        ]
        await settle()
        health = await made.health()
        release.set()
        await asyncio.gather(*hung)
        assert (health.status, health.checks["database"]) == ("degraded", "does not answer")


async def test_little_space_is_said(tmp_path: Path) -> None:
    async with opened(tmp_path, settings=Health.model_construct(disk_low=1 << 60)) as (_, made):
        assert (await made.health()).checks["disk"] == "low"


async def test_a_reader_that_lets_no_write_ahead_log_end_is_said(tmp_path: Path) -> None:
    """R09: what a reader holds up is told before the disk is full, and that it is over, too."""
    much = "x" * (WAL_LIMIT // 2)
    async with opened(tmp_path) as (ground, made):
        with closing(sqlite3.connect(ground.home.state, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT * FROM meta").fetchone()
            for key in ("one", "two"):
                assert (await made.health()).checks["writes_state"] == "ok"
                await ground.db.write(partial(Tx.run, statement=INSERT, key=key, value=much))
            health = await made.health()
            assert (health.status, health.checks["writes_state"]) == ("degraded", "write-ahead log too large")
        for key in ("three", "four"):
            await ground.db.write(partial(Tx.run, statement=INSERT, key=key, value="x"))
        assert (await made.health()).status == "ok"


async def test_a_full_disk_is_said_and_so_is_that_it_healed(small_disk: SmallDisk) -> None:
    clock = SystemClock()
    async with opened(small_disk.path, clock, Health(disk_low=1)) as (ground, made):
        small_disk.fill()
        with pytest.raises(Unavailable):
            await ground.db.write(lambda tx: tx.run(INSERT, key="much", value="x" * 500_000))
        assert (await made.health()).checks["writes_state"] == "refused"
        small_disk.free()

        async def well() -> bool:
            return (await made.health()).status == "ok"

        await eventually(well)


async def test_a_disk_that_stays_full_is_not_said_to_have_healed(small_disk: SmallDisk) -> None:
    """What health tries must reach the disk: a row that stays as it is would be written nowhere."""
    clock = ManualClock()
    async with opened(small_disk.path, clock, Health(disk_low=1)) as (ground, made):
        small_disk.fill()
        with pytest.raises(Unavailable):
            await ground.db.write(lambda tx: tx.run(INSERT, key="much", value="x" * 500_000))
        for _ in range(3):
            await clock.advance(2.0)
            assert (await made.health()).checks["writes_state"] == "refused"


async def test_diagnostics_are_not_for_everybody(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, made):
        with pytest.raises(Forbidden):
            await made.diagnostics(person("viewer", environment="staging"))


async def test_diagnostics_are_true_json(tmp_path: Path) -> None:
    async with opened(tmp_path, ManualClock()) as (ground, made):
        await ground.db.write(lambda tx: tx.append(ServerStarted(version="1"), SYSTEM))
        assert isinstance(ground.clock, ManualClock)
        await ground.clock.advance(90)
        shown = await made.diagnostics(person("viewer"))
        assert shown["databases"]["state"]["bytes"] == ground.home.state.stat().st_size
    assert json.loads(json.dumps(shown)) == shown
    assert shown["versions"]["dg"] == __version__
    assert (shown["uptime"], shown["active_runs"], shown["ledger"]["seq"]) == (90, 3, 1)
    assert shown["rows"] == {"deployments": 0, "tokens": 0, "idempotency": 0, "ticks": 0, "snapshots": 0}


async def test_the_lag_of_the_loop_is_what_it_came_late() -> None:
    clock = ManualClock()
    lag = LoopLag(clock)
    measuring = asyncio.ensure_future(lag.measure())
    await settle()
    await clock.advance(LoopLag.INTERVAL)
    assert lag.last == pytest.approx(0)
    clock.hold_up(LoopLag.INTERVAL + 0.2)
    await clock.advance(0)
    assert lag.last == lag.worst == pytest.approx(0.2)
    for _ in range(200):
        await clock.advance(LoopLag.INTERVAL)
    assert lag.worst == pytest.approx(0)
    assert lag.median == pytest.approx(0)
    measuring.cancel()


async def test_diagnostics_say_what_waits_and_who_is_behind(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as (ground, made):
        figures = await made.diagnostics(SYSTEM)
        assert figures["migration"] == schema.STATE_HEAD
        assert figures["queue"] == {"waiting": 0, "oldest_age": 0.0}
        assert figures["lanes"] == {"known": 0, "held": 0, "locked": 0, "freezes": 0}
        now = clock.micros()
        await ground.db.write(lambda tx: _some_work(tx, now))
        clock.jump(90)
        figures = await made.diagnostics(SYSTEM)
        assert figures["queue"] == {"waiting": 1, "oldest_age": 90.0}
        assert figures["lanes"] == {"known": 2, "held": 1, "locked": 1, "freezes": 1}


def _some_work(tx: Tx, now: int) -> None:
    """One deployment that waits, a lane that is held and one that is locked, a freeze that is over."""
    later = now + 3_600_000_000
    lane = {"environment": "staging", "known": 1, "lock_automatic": 0}
    _insert(tx, schema.lanes, service="a", holder="x", **lane)
    _insert(tx, schema.lanes, service="b", lock_until=later, **lane)
    for freeze, until in (("f1", later), ("f2", now)):
        _insert(tx, schema.freezes, id=freeze, reason="r", by="b", since=now, until=until)
    texts = ("id", "service", "environment", "kind", "stage", "version", "commit_sha", "created_by")
    counts = ("touched", "cancel_then_rollback", "epoch", "revision", "spool_seq")
    times = {"created_at": now, "queued_at": now, "build_time": 0.0, "deploy_time": 0.0}
    values = {**dict.fromkeys(texts, "a"), **dict.fromkeys(counts, 0), **times}
    _insert(tx, schema.deployments, status="pending", pipeline_sha256="p", outputs="{}", **values)


def _insert(tx: Tx, table: sa.Table, **values: object) -> None:
    tx.run(Statement(table.insert()), **{**dict.fromkeys(table.c.keys()), **values})


async def test_diagnostics_say_how_far_behind_those_are_who_are_told(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_ground(tmp_path, clock) as ground:
        bus = Bus()
        access = await access_to(ground)
        made = System(
            state=ground.db,
            logs=ground.db,
            home=ground.home,
            clock=clock,
            access=access,
            settings=Health(),
            lag=LoopLag(clock),
            gauges={},
            bus=bus,
        )
        for _ in range(3):
            await ground.db.write(lambda tx: tx.append(ServerStarted(version="1"), by=SYSTEM))
        entries = await ground.db.read(lambda tx: ledger.after(tx, 0, 10))
        bus.publish(entries[:1])
        clock.jump(5)
        behind = (await made.diagnostics(SYSTEM))["ledger"]
        assert (behind["seq"], behind["behind"], behind["behind_age"]) == (3, 2, 5.0)
        bus.publish(entries[1:])
        assert (await made.diagnostics(SYSTEM))["ledger"]["behind"] == 0
