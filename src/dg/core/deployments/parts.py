"""What the deployments domain is made of, put together in `core/app.py`, and the Protocols it needs."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dg.core.access.service import Access
from dg.core.clock import Clock, Ids
from dg.core.database import Database
from dg.core.deployments.figures import Commit
from dg.core.deployments.gates.demands import Demands
from dg.core.deployments.git import Resolved
from dg.core.deployments.models import Changes, Diff, FileChanges, News, Remains
from dg.core.deployments.secrets import Secrets
from dg.core.deployments.sources import Use
from dg.core.home import Place
from dg.core.ledger import Entry
from dg.core.types import Environment
from dg.runner.abilities import Abilities
from dg.runner.standings import Standing
from dg.settings import Settings


class Git(Protocol):
    """The repositories of the services (see `Mirrors`)."""

    def path(self, service: str) -> Path: ...

    def use(self, url: str) -> Use | None: ...

    async def fetch(self, service: str, url: str) -> None: ...

    async def resolve(self, service: str, url: str, ref: str) -> Resolved: ...

    async def contains(self, service: str, branch_ref: str, commit: str) -> bool: ...

    async def keep(self, service: str, commit: str) -> None: ...

    async def has(self, service: str, commit: str) -> bool: ...

    async def commits(self, service: str, base: str | None, head: str, limit: int) -> Changes: ...

    async def changed_files(self, service: str, base: str, head: str, limit: int) -> FileChanges: ...

    async def diff(
        self, service: str, base: str | None, head: str, *, file: str | None, limit: int, cap: int
    ) -> Diff: ...

    async def ancestry(
        self, service: str, heads: Sequence[str], known: Sequence[str]
    ) -> Sequence[Commit]: ...

    async def read_file(self, service: str, commit: str, path: str, cap: int) -> bytes: ...

    async def compact(self, service: str) -> None: ...


class Run(Protocol):
    """One run and the process that does it (see `drivers.Run`)."""

    async def news(self, after_event: int, next_line: int) -> News: ...

    async def cancel(self) -> None: ...

    async def asked_probes(self) -> frozenset[str]: ...

    async def tell(self, now: int, standings: Mapping[str, Standing]) -> None: ...


class Runners(Protocol):
    """Starts runs, finds live ones and clears up after dead ones (see `drivers.Runners`)."""

    def folder(self, deployment_id: str) -> Path: ...

    def area(self, deployment_id: str) -> Path: ...

    async def launch(
        self, lane: tuple[str, str], ticket: Mapping[str, Any], secrets: Mapping[str, str]
    ) -> Run: ...

    async def find(self, deployment_id: str, lane: tuple[str, str]) -> Run | None: ...

    async def clear(self, deployment_id: str, lane: tuple[str, str]) -> Remains | None: ...

    def left(self, deployment_id: str, lane: tuple[str, str]) -> Run: ...

    async def free(self, lane: tuple[str, str]) -> bool: ...

    async def with_work(self) -> set[str]: ...

    async def discard_work(self, deployment_id: str) -> None: ...

    async def discard(self, deployment_id: str) -> None: ...


class Machine(Protocol):
    """What this machine lets a runner do to a step (see `drivers.Runners`)."""

    async def abilities(self) -> Abilities: ...


class Protection(Protocol):
    """What an environment demands of every pipeline."""

    def protected(self, environment: Environment) -> bool:
        """True when only commits of the pipeline's protected branch may go there."""
        ...

    def demands(self, environment: Environment) -> Sequence[Demands]:
        """What must be true before a deployment may start there, whatever its pipeline says: all of it."""
        ...


class Probes(Protocol):
    """What is asked of an environment's services (see `core/health/`)."""

    def names(self, environment: Environment) -> frozenset[str]:
        """The probes that the environment has."""
        ...

    def standings(self, environment: Environment) -> Mapping[str, Standing]:
        """How each of them stands, by name."""
        ...


class Followers:
    """Whoever waits for more lines of a deployment."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def changed(self, deployment_id: str) -> None:
        """There may be more to read."""
        for event in self._waiting.get(deployment_id, ()):
            event.set()

    def observe(self, entries: Sequence[Entry]) -> None:
        """Whatever was committed about a deployment: one that never ran ends without a line."""
        for entry in entries:
            self.changed(entry.object)

    @contextmanager
    def follow(self, deployment_id: str) -> Iterator[asyncio.Event]:
        """An event that is set at every change; whoever waits clears it before looking."""
        event = asyncio.Event()
        self._waiting[deployment_id].add(event)
        try:
            yield event
        finally:
            self._waiting[deployment_id].discard(event)
            if not self._waiting[deployment_id]:
                del self._waiting[deployment_id]


@dataclass(frozen=True)
class Parts:
    """What services and dispatcher of this domain share. `environ` is the server's own environment."""

    settings: Settings
    db: Database
    logs: Database
    access: Access
    clock: Clock
    ids: Ids
    git: Git
    secrets: Secrets
    protection: Protection
    machine: Machine
    environ: Mapping[str, str]
    probes: Probes
    receipt_key: Ed25519PrivateKey
    place: Place
    followers: Followers = field(default_factory=Followers)
