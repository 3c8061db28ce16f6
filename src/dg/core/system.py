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
from dg.core.clock import Clock
from dg.core.database import WAL_LIMIT, Database, Statement, Tx
from dg.core.errors import Problem
from dg.core.home import Home
from dg.settings.tree import Health as HealthSettings

Gauge = Callable[[], Any]
"""A figure that another part of the server keeps, as a JSON value; cheap."""
Sign = Callable[[], str]
"""How another part of the server is, in a word or two: "ok" when it is well; cheap."""


_COUNTED = (schema.deployments, schema.tokens, schema.idempotency, schema.ticks, schema.snapshots)
_COUNTS = {
    table.name: Statement(sa.select(sa.func.count().label("n")).select_from(table)) for table in _COUNTED
}
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
        rows, head = await self._state.read(_count)
        usage = shutil.disk_usage(self._home.path)
        return {
            "versions": _versions(),
            "uptime": round(self._clock.monotonic() - self._started, 3),
            "databases": {name: await _database(database) for name, database in self._databases.items()},
            "rows": rows,
            "ledger": {"seq": head.seq, "hash": head.hash},
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


def _count(tx: Tx) -> tuple[dict[str, int], ledger.Head]:
    rows = {name: int((tx.one(statement) or {"n": 0})["n"]) for name, statement in _COUNTS.items()}
    return rows, ledger.head(tx)


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
