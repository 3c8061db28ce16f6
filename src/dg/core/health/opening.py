"""Puts the watch over services together, with tasks of its own; called by `core/app.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import SystemRandom
from typing import Any

from dg.core.access.service import Access
from dg.core.clock import Clock
from dg.core.database import Database
from dg.core.health.announcing import Announcer, Suspicion
from dg.core.health.drivers.asking import Asker, Secrets
from dg.core.health.drivers.lookups import Lookups
from dg.core.health.jobs import jobs
from dg.core.health.recorder import Recorder
from dg.core.health.service import Health, ProbeRules
from dg.core.health.standings import Standings
from dg.core.health.watch import Watch
from dg.core.http import Outbound, Resolve
from dg.core.jobs import Job
from dg.core.tasks import Tasks, open_tasks
from dg.core.types import Environment
from dg.settings import Settings


@dataclass(frozen=True)
class Vigil:
    """The watch, and what others need of it. Nothing is asked before `begin`."""

    health: Health
    rules: ProbeRules
    standings: Standings
    watch: Watch
    jobs: tuple[Job, ...]
    tasks: Tasks

    def begin(self) -> None:
        """Ask from now on, until it is closed."""
        self.tasks.spawn("probes", self.watch.run())
        self.tasks.spawn("results of probes", self.watch.keep())


@asynccontextmanager
async def open_vigil(
    state: Database,
    logs: Database,
    *,
    access: Access,
    clock: Clock,
    settings: Settings,
    secrets: Secrets,
    environ: Mapping[str, str],
    documents: Mapping[Environment, Mapping[str, Any]],
    suspect: Suspicion,
    resolve: Resolve | None = None,
) -> AsyncIterator[Vigil]:
    """What `documents` have as probes; closing keeps what was found. Commands see `environ`."""
    recorder, announcer = Recorder(logs, clock, settings.probes), Announcer(state, clock, suspect)
    lookups = Lookups()
    ask = Asker(
        Outbound(settings.outbound, resolve=resolve or lookups),
        resolve or lookups,
        secrets,
        clock=clock,
        environ=environ,
        commands=settings.probes.commands,
    )
    try:
        async with open_tasks() as tasks:
            watch = Watch(
                ask,
                recorder,
                announcer,
                clock=clock,
                tasks=tasks,
                chance=SystemRandom().random,
                settings=settings.probes,
            )
            await watch.begin(documents)
            health = Health(logs, clock, access, watch, recorder, announcer, ask)
            yield Vigil(
                health, ProbeRules(settings.probes, watch), Standings(watch), watch, jobs(recorder), tasks
            )
    finally:
        lookups.close()
        await recorder.flush()
