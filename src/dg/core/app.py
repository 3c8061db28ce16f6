"""The composition root of the core: what exists and who gets what, in the order in which it is opened."""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from dg import __version__
from dg.core import schema
from dg.core.access.keys import receipt_key
from dg.core.access.models import SYSTEM
from dg.core.access.service import Access, open_access
from dg.core.anchors import Anchors
from dg.core.bus import Bus
from dg.core.clock import Clock, Ids, SystemClock
from dg.core.database import Database, SqliteFile, open_database, prepare
from dg.core.deployments.dispatcher import Dispatcher
from dg.core.deployments.drivers import Runners
from dg.core.deployments.gates.demands import Demands, read
from dg.core.deployments.git import Mirrors
from dg.core.deployments.jobs import jobs as deployment_jobs
from dg.core.deployments.parts import Git, Parts, Protection
from dg.core.deployments.receipts import ReceiptsWitness
from dg.core.deployments.secrets import FileSecrets, Secrets
from dg.core.deployments.service import Approvals, Deployments, Figures, Lanes, Pipelines
from dg.core.deployments.sources import Sources, hidden_variables
from dg.core.errors import Invalid
from dg.core.events import ServerStarted
from dg.core.feed import Feed, open_feed
from dg.core.home import Home, write_private
from dg.core.jobs import Every, Job, open_scheduler
from dg.core.ledger import Ledger
from dg.core.migrations.upgrade import migrate
from dg.core.system import LoopLag, System
from dg.core.tasks import Tasks, open_tasks
from dg.core.types import Environment
from dg.runner import cgroups
from dg.settings import Settings

_MINUTE = 60.0


@dataclass(frozen=True)
class Core:
    """The product without a face: what surfaces call."""

    settings: Settings
    deployments: Deployments
    approvals: Approvals
    lanes: Lanes
    pipelines: Pipelines
    figures: Figures
    access: Access
    feed: Feed
    system: System
    clock: Clock
    drain: Callable[[], Awaitable[None]]
    """Starts no deployment any more but rollbacks, and returns when none runs."""


@dataclass(frozen=True)
class Drivers:
    """What touches the world, where it is to be another than the usual one."""

    git: Git | None = None
    secrets: Secrets | None = None
    protection: Protection | None = None


class SettingsProtection:
    """Protection as the settings say it. Raises Invalid naming the setting that demands what cannot be."""

    def __init__(self, settings: Settings) -> None:
        self._environments = settings.environments
        self._demands = {
            tier: read(self._environments.named(tier).demands(), tier, f"environments.{tier}")
            for tier in Environment
        }

    def protected(self, environment: Environment) -> bool:
        return self._environments.named(environment.value).protected

    def demands(self, environment: Environment) -> Demands:
        return self._demands[environment]


@asynccontextmanager
async def open_core(
    settings: Settings,
    *,
    clock: Clock | None = None,
    drivers: Drivers | None = None,
    environ: Mapping[str, str] | None = None,
    passive: bool = False,
) -> AsyncIterator[Core]:
    """Open the home of `settings` and everything in it; closing leaves running deployments alone.

    `passive` starts no dispatcher and no jobs: for commands that work on a home whose server is down.
    Raises Refused when another server holds the home or its schema is newer, Invalid for a database that this
    dg does not speak.
    """
    clock = clock or SystemClock()
    drivers = drivers or Drivers()
    environ = os.environ if environ is None else environ
    home = Home(settings.home)
    if settings.database.url is not None:
        raise Invalid("database.url: only SQLite in the home is spoken so far; leave the setting out")
    async with AsyncExitStack() as stack:
        stack.enter_context(home.lock())
        tasks = await stack.enter_async_context(open_tasks())
        bus = Bus()
        state, logs = await _open_databases(stack, home, settings, clock, tasks, bus)
        ids = Ids(clock)
        access = await open_access(
            state, bus=bus, clock=clock, ids=ids, tasks=tasks, home=home, settings=settings.access
        )
        stack.push_async_callback(access.flush)
        anchors = Anchors(settings.ledger.anchor_file, settings.ledger.anchor_command, environ=environ)
        feed = await open_feed(
            state,
            access=access,
            bus=bus,
            clock=clock,
            anchors=anchors,
            witnesses=lambda: (ReceiptsWitness(),),
        )
        runners = Runners(
            home.runs,
            home.lanes,
            str(settings.runner.python) if settings.runner.python else None,
            _cgroup(settings, prepare=not passive),
            settings.runner.kill_grace,
            settings.runner.area,
        )
        hidden = hidden_variables(settings.git.sources)
        parts = Parts(
            settings=settings,
            db=state,
            logs=logs,
            access=access,
            clock=clock,
            ids=ids,
            git=drivers.git or _mirrors(home, settings, clock, environ),
            secrets=drivers.secrets or FileSecrets(settings.secrets_file),
            protection=drivers.protection or SettingsProtection(settings),
            machine=runners,
            environ={name: value for name, value in environ.items() if name not in hidden},
            receipt_key=receipt_key(home.keys),
        )
        bus.subscribe(parts.followers.observe)
        # Ends before the databases close: what follows runs writes until its last moment.
        work = await stack.enter_async_context(open_tasks())
        dispatcher = Dispatcher(parts, runners, work)
        lag = LoopLag(clock)
        system = System(
            state=state,
            logs=logs,
            home=home,
            clock=clock,
            access=access,
            settings=settings.health,
            lag=lag,
            gauges={"active_runs": lambda: dispatcher.active},
            anchors=anchors,
        )
        stack.callback(bus.close)
        if not passive:
            await state.write(lambda tx: tx.append(ServerStarted(version=__version__), by=SYSTEM))
            write_private(home.owner_token, await access.owner_token(_owner()))
            listed = (*deployment_jobs(parts, dispatcher, runners), *_house_jobs(settings, access, feed))
            await stack.enter_async_context(open_scheduler(listed, db=state, clock=clock, tasks=work))
            work.spawn("loop lag", lag.measure())
            work.spawn("dispatcher", dispatcher.run())
        deployments = Deployments(parts, dispatcher)
        yield Core(
            settings=settings,
            deployments=deployments,
            approvals=Approvals(parts, dispatcher, deployments),
            lanes=Lanes(parts, dispatcher),
            pipelines=Pipelines(parts),
            figures=Figures(parts),
            access=access,
            feed=feed,
            system=system,
            clock=clock,
            drain=dispatcher.drain,
        )


def _cgroup(settings: Settings, *, prepare: bool) -> str | None:
    """The folder for the control groups of runs: the settings', else what systemd left to this service."""
    folder = str(settings.runner.cgroup) if settings.runner.cgroup else cgroups.delegated()
    if folder is not None and prepare:
        cgroups.prepare(folder)
    return folder


async def _open_databases(
    stack: AsyncExitStack, home: Home, settings: Settings, clock: Clock, tasks: Tasks, bus: Bus
) -> tuple[Database, Database]:
    for path, kind, head in (
        (home.state, "state", schema.STATE_HEAD),
        (home.logs, "logs", schema.LOGS_HEAD),
    ):
        prepare(path)
        migrate(path, kind, head)
    busy_timeout, readers = settings.database.busy_timeout, settings.database.readers
    state = await stack.enter_async_context(
        open_database(
            SqliteFile(home.state, attach={"logs": home.logs}, busy_timeout=busy_timeout, readers=readers),
            clock=clock,
            tasks=tasks,
            seal=Ledger(clock).seal,
            publish=bus.publish,
        )
    )
    logs = await stack.enter_async_context(
        open_database(
            SqliteFile(home.logs, durable=False, busy_timeout=busy_timeout, readers=1),
            clock=clock,
            tasks=tasks,
        )
    )
    return state, logs


def _mirrors(home: Home, settings: Settings, clock: Clock, environ: Mapping[str, str]) -> Mirrors:
    return Mirrors(
        home.mirrors,
        clock=clock,
        environ=environ,
        timeout=settings.git.timeout,
        ssh_command=settings.git.ssh_command or "ssh",
        sources=Sources(settings.git.sources, home.path, environ),
    )


def _house_jobs(settings: Settings, access: Access, feed: Feed) -> tuple[Job, ...]:
    return (
        Job("access.flush", Every(_MINUTE), access.flush),
        Job("ledger.anchor", Every(settings.ledger.anchor_interval), feed.anchor),
    )


def _owner() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "owner"
