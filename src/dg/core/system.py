"""How the server itself is: the open health, the diagnostics, and how late the event loop runs."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import shutil
import sqlite3
import statistics
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg import __version__
from dg.core import ledger, schema
from dg.core.access.models import Action, Principal
from dg.core.access.service import Access
from dg.core.anchors import Anchors
from dg.core.bus import Bus
from dg.core.clock import SECOND, Clock
from dg.core.database import WAL_LIMIT, Database, Row, Statement, Tx
from dg.core.errors import Problem
from dg.core.home import Home
from dg.settings.server import Health as HealthSettings

Gauge = Callable[[], Any]
"""A figure that another part of the server keeps, as a JSON value; cheap."""
Sign = Callable[[], str]
"""How another part of the server is, in a word or two: "ok" when it is well; cheap."""


_COUNTED = (schema.deployments, schema.tokens, schema.idempotency, schema.ticks, schema.snapshots)
_COUNTS = {
    table.name: Statement(sa.select(sa.func.count().label("n")).select_from(table)) for table in _COUNTED
}
_d, _l, _f = schema.deployments.c, schema.lanes.c, schema.freezes.c
_QUEUE = Statement(
    sa.select(sa.func.count().label("waiting"), sa.func.min(_d.queued_at).label("oldest")).where(
        _d.status == "pending"
    )
)
_LANES = Statement(
    sa.select(
        sa.func.count().label("known"),
        sa.func.count(_l.holder).label("held"),
        sa.func.count(sa.case((_l.lock_until > bindparam("now"), 1))).label("locked"),
    ).select_from(schema.lanes)
)
_FREEZES = Statement(sa.select(sa.func.count().label("n")).where(_f.until > bindparam("now")))
_SCHEMA = Statement(sa.select(sa.column("version_num")).select_from(sa.table("alembic_version")))
_FEW_FILES = 1000
"""Fewer free inodes are low: a run makes tens of them, a checkout as many as the repository has files."""
_m = schema.meta
_TRIED = Statement(_m.update().where(_m.c.key == "writes_tried_at").values(value=bindparam("now")))
_FIRST_TRIED = Statement(_m.insert().values(key="writes_tried_at", value=bindparam("now")))
_READ = Statement(sa.select(_m.c.value).where(_m.c.key == bindparam("name")))


@dataclass(frozen=True)
class Health:
    """Whether the server works: each check is "ok" or says what is wrong in a few words."""

    status: Literal["ok", "degraded"]
    version: str
    checks: dict[str, str]


class LoopLag:
    """Measures how much later than asked the event loop wakes; holds the last minute."""

    INTERVAL = 0.5

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: deque[float] = deque([0.0], maxlen=round(60 / self.INTERVAL))

    async def measure(self) -> None:
        """Run until cancelled."""
        while True:
            asked = self._clock.monotonic() + self.INTERVAL
            await self._clock.sleep(self.INTERVAL)
            self._seen.append(max(0.0, self._clock.monotonic() - asked))

    @property
    def last(self) -> float:
        """Seconds, as measured last."""
        return self._seen[-1]

    @property
    def median(self) -> float:
        """Seconds, over the last minute."""
        return statistics.median(self._seen)

    @property
    def worst(self) -> float:
        """Seconds, over the last minute."""
        return max(self._seen)


class System:
    """The server's own state. `gauges` and `signs` are what other parts know of themselves, by name."""

    def __init__(
        self,
        *,
        state: Database,
        logs: Database,
        home: Home,
        clock: Clock,
        access: Access,
        settings: HealthSettings,
        lag: LoopLag,
        gauges: Mapping[str, Gauge],
        signs: Mapping[str, Sign] | None = None,
        anchors: Anchors | None = None,
        bus: Bus | None = None,
    ) -> None:
        self._databases = {"state": state, "logs": logs}
        self._state = state
        self._home = home
        self._clock = clock
        self._access = access
        self._settings = settings
        self._gauges = gauges
        self._signs = signs or {}
        self._anchors = anchors or Anchors()
        self._bus = bus or Bus()
        self.lag = lag
        self._started = clock.monotonic()
        self._tried = clock.monotonic()

    async def health(self) -> Health:
        """For anybody: no secrets, no paths, and cheap however often it is asked."""
        checks = {"database": await self._reads(), "disk": self._disk()}
        for name, database in self._databases.items():
            checks[f"writes_{name}"] = await self._writes(name, database)
        checks |= {name: sign() for name, sign in self._signs.items()}
        if self._anchors.wanted:
            checks["anchor"] = "failed" if self._anchors.trouble else "ok"
        good = all(value == "ok" for value in checks.values())
        return Health("ok" if good else "degraded", __version__, checks)

    async def _reads(self) -> str:
        try:
            async with asyncio.timeout(self._settings.reads_stalled):
                await self._state.read(lambda tx: tx.one(_READ, name="home_id"))
        except (Problem, TimeoutError):
            return "does not answer"
        return "ok"

    async def _writes(self, name: str, database: Database) -> str:
        if database.stalled > self._settings.writes_stalled:
            return "stuck"
        if name == "state" and database.trouble is not None:
            await self._try_again()
        if database.trouble:
            return "refused"
        return "write-ahead log too large" if database.backlog > WAL_LIMIT else "ok"

    async def _try_again(self) -> None:
        """Find out whether writing works again: without this nobody would until the next change."""
        now = self._clock.monotonic()
        if now - self._tried < 1.0:
            return
        self._tried = now
        with suppress(Problem, TimeoutError):
            async with asyncio.timeout(self._settings.reads_stalled):
                await self._state.write(lambda tx: _leave_a_mark(tx, str(self._clock.micros())))

    def _disk(self) -> str:
        found = os.statvfs(self._home.path)
        # A file system that makes inodes as it needs them counts none.
        if found.f_files and found.f_favail < _FEW_FILES:
            return "low on files"
        return "ok" if found.f_bavail * found.f_frsize >= self._settings.disk_low else "low"

    async def diagnostics(self, principal: Principal) -> dict[str, Any]:
        """Everything an administrator asks first, as JSON values. Times are seconds, sizes bytes."""
        self._access.require(principal, Action.SYSTEM_READ)
        now = self._clock.micros()
        found = await self._state.read(lambda tx: _look(tx, now, self._bus.published))
        usage = shutil.disk_usage(self._home.path)
        return {
            "versions": _versions(),
            "uptime": round(self._clock.monotonic() - self._started, 3),
            "databases": {name: await _database(database) for name, database in self._databases.items()},
            **found,
            "disk": {"free": usage.free, "total": usage.total},
            "loop_lag": {"last": self.lag.last, "median": self.lag.median, "worst": self.lag.worst},
            "process": {
                "memory_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "threads": threading.active_count(),
            },
            "anchor": {"trouble": self._anchors.trouble},
            **{name: gauge() for name, gauge in self._gauges.items()},
        }


def _leave_a_mark(tx: Tx, now: str) -> None:
    """Another value each time: for a row that stays as it is SQLite writes nothing, which proves nothing."""
    if not tx.run(_TRIED, now=now):
        tx.run(_FIRST_TRIED, now=now)


def _look(tx: Tx, now: int, published: int) -> dict[str, Any]:
    """What the tables say at `now`; entries up to `published` were handed to who listens."""
    return {
        "migration": _one(tx, _SCHEMA)["version_num"],
        "rows": {name: _one(tx, statement)["n"] for name, statement in _COUNTS.items()},
        "ledger": _ledger(tx, now, published),
        "queue": _queue(tx, now),
        "lanes": {**_one(tx, _LANES, now=now), "freezes": _one(tx, _FREEZES, now=now)["n"]},
    }


def _ledger(tx: Tx, now: int, published: int) -> dict[str, Any]:
    """How far it reaches, and how far behind those are who are told of it: entries, and seconds of the first.

    A server that was not told of any since it started is behind by none.
    """
    head = ledger.head(tx)
    behind = max(0, head.seq - published) if published else 0
    waiting = ledger.after(tx, published, 1) if behind else []
    age = _seconds(now, waiting[0].at) if waiting else 0.0
    return {"seq": head.seq, "hash": head.hash, "behind": behind, "behind_age": age}


def _queue(tx: Tx, now: int) -> dict[str, Any]:
    row = _one(tx, _QUEUE)
    oldest = row["oldest"]
    return {"waiting": row["waiting"], "oldest_age": 0.0 if oldest is None else _seconds(now, oldest)}


def _seconds(now: int, since: int) -> float:
    return round(max(0, now - since) / SECOND, 3)


def _one(tx: Tx, statement: Statement, **values: object) -> Row:
    """The row of a statement that always has one: a count, or the revision of a database of ours."""
    return tx.one(statement, **values) or {}


async def _database(database: Database) -> dict[str, Any]:
    return {
        **await database.sizes(),
        "waiting": database.waiting,
        "stalled": round(database.stalled, 3),
        "trouble": database.trouble,
    }


def _versions() -> dict[str, str]:
    names = ("aiosqlite", "apscheduler", "pydantic", "sqlalchemy", "starlette", "uvicorn")
    return {
        "dg": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": platform.platform(),
        **{name: version(name) for name in names},
    }
