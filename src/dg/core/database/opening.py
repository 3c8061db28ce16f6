"""Opens what the settings say: two SQLite files in the home, or one PostgreSQL database, migrated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dg.core import schema
from dg.core.clock import Clock
from dg.core.database.address import Address
from dg.core.database.sqlite import SqliteFile, open_database, prepare
from dg.core.database.transactions import Publish, Seal, Waits
from dg.core.database.writer import Database
from dg.core.home import Home
from dg.core.migrations.upgrade import migrate, migrate_postgresql
from dg.core.tasks import Tasks
from dg.settings.tree import Database as Settings

if TYPE_CHECKING:
    from dg.core.database.claim import Claim

HEADS = {"state": schema.STATE_HEAD, "logs": schema.LOGS_HEAD}


class Databases:
    """The state and the logs. `superseded` is set when another server took the state over."""

    def __init__(self, state: Database, logs: Database, superseded: asyncio.Event | None = None) -> None:
        self.state = state
        self.logs = logs
        self.superseded = superseded or asyncio.Event()


@asynccontextmanager
async def open_databases(
    home: Home,
    settings: Settings,
    address: Address | None = None,
    *,
    clock: Clock,
    tasks: Tasks,
    seal: Seal,
    publish: Publish,
    keys: str = "",
    waits: Waits | None = None,
) -> AsyncIterator[Databases]:
    """Open and migrate both databases of a home whose lock is held: in the home, or at `address`.

    `keys` tells the home's keys from others. With `waits`, a PostgreSQL database on which another server is
    active is waited for; else it is refused. Raises Refused, also for one that cannot be used, that others'
    keys belong to, or that has a newer schema.
    """
    async with AsyncExitStack() as stack:
        if address is not None:
            from dg.core.database.claim import Claim

            opening = _Postgresql(address, Claim(home.place(), keys), settings, clock, tasks, waits)
            yield await opening.open(stack, seal, publish)
        else:
            yield await _sqlite(stack, home, settings, clock, tasks, seal, publish)


async def _sqlite(
    stack: AsyncExitStack,
    home: Home,
    settings: Settings,
    clock: Clock,
    tasks: Tasks,
    seal: Seal,
    publish: Publish,
) -> Databases:
    for kind, path in (("state", home.state), ("logs", home.logs)):
        prepare(path)
        migrate(path, kind, HEADS[kind])
    limits = partial(SqliteFile, busy_timeout=settings.busy_timeout)
    state = limits(home.state, attach={"logs": home.logs}, readers=settings.readers)
    opening = partial(open_database, clock=clock, tasks=tasks)
    return Databases(
        await stack.enter_async_context(opening(state, seal=seal, publish=publish)),
        await stack.enter_async_context(opening(limits(home.logs, durable=False, readers=1))),
    )


@dataclass(frozen=True)
class _Postgresql:
    address: Address
    claim: Claim
    settings: Settings
    clock: Clock
    tasks: Tasks
    waits: Waits | None

    async def open(self, stack: AsyncExitStack, seal: Seal, publish: Publish) -> Databases:
        from dg.core.database.candidate import claim_database
        from dg.core.database.postgresql import open_postgresql
        from dg.core.database.session import Session

        address, settings, timeout = self.address, self.settings, self.settings.timeout
        writer = await stack.enter_async_context(
            claim_database(address, self.claim, clock=self.clock, timeout=timeout, waits=self.waits)
        )
        await self._migrate()
        opening = partial(open_postgresql, address, clock=self.clock, tasks=self.tasks, timeout=timeout)
        state = await stack.enter_async_context(
            opening(writer, self.claim, readers=settings.readers, seal=seal, publish=publish)
        )
        # Lines that a crash of the database takes with it are read again from the runs' own files.
        relaxed = Session(address, timeout, {"synchronous_commit": "off"})
        stack.callback(relaxed.close)
        logs = await stack.enter_async_context(
            opening(relaxed, None, readers=1, size="pg_total_relation_size('chunks')")
        )
        return Databases(state, logs, state.superseded)

    async def _migrate(self) -> None:
        import psycopg

        from dg.core.database.candidate import in_thread
        from dg.core.database.session import connect, unreachable

        for kind, head in HEADS.items():
            try:
                await in_thread(
                    migrate_postgresql, lambda: connect(self.address), kind, head, f"the {self.address}"
                )
            except psycopg.OperationalError as error:
                raise unreachable(self.address, error) from None
