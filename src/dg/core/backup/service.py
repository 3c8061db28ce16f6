"""The backups that the server makes, keeps, tests and restores environments from."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dg.core import ledger
from dg.core.access.models import SYSTEM, Action, Principal
from dg.core.access.service import Access
from dg.core.backup import archive, keys, schedule, store
from dg.core.backup import environment as environments
from dg.core.backup.encryption import Identity
from dg.core.backup.models import HOME, BackupRecord, Manifest, Point
from dg.core.backup.proving import prove
from dg.core.backup.scratch import FOLDER
from dg.core.backup.sending import send
from dg.core.backup.take import take
from dg.core.clock import Clock, to_datetime
from dg.core.database import Database, Tx
from dg.core.environments import snapshots
from dg.core.environments import store as estate
from dg.core.environments.models import EnvironmentState, Snapshot
from dg.core.environments.service import Environments
from dg.core.environments.vault import Vault
from dg.core.errors import NotFound, Problem
from dg.core.events import (
    BackupFact,
    BackupFailed,
    BackupMade,
    BackupRemoved,
    BackupTested,
    BackupTestFailed,
)
from dg.core.idempotency import Once, once, seen
from dg.core.jobs import Job
from dg.core.system import Sign
from dg.core.types import Environment
from dg.settings import Settings

log = logging.getLogger(__name__)


class Backups:
    """The actions on backups, and the work on them that comes by itself."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        clock: Clock,
        access: Access,
        vault: Vault,
        estate: Environments,
        environ: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._db = db
        self._clock = clock
        self._access = access
        self._vault = vault
        self._estate = estate
        self._environ = dict(environ)
        self._making = schedule.making(settings.backup)
        self._testing = schedule.testing(settings.backup)
        keys.check(settings)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._newest: dict[str, int] = dict.fromkeys(settings.backup.what, clock.micros())
        self._troubles: dict[tuple[str, str], str] = {}

    # --- what there is

    async def list(
        self, principal: Principal, environment: Environment | None = None
    ) -> tuple[BackupRecord, ...]:
        """Those of one environment; or all within the caller's reach. The newest first."""
        if environment is not None:
            self._access.require(principal, Action.BACKUP_READ, environment)
            return tuple(await self._db.read(lambda tx: store.every(tx, environment.value)))
        self._access.require_somewhere(principal, Action.BACKUP_READ)
        found = await self._db.read(store.every)
        return tuple(each for each in found if principal.may(Action.BACKUP_READ, each.environment))

    async def make(
        self, principal: Principal, environment: Environment, id_: str, key: Once | None = None
    ) -> BackupRecord:
        """Back one environment up; the backup of that id, where there is one already.

        Raises Refused when it was never configured, Mismatch, Unavailable.
        """
        self._access.require(principal, Action.BACKUP_CREATE, environment)
        earlier = await self._db.read(lambda tx: seen(tx, principal, key, BackupRecord))
        if earlier is not None:
            return earlier
        made = await self._made(environment.value, id_, principal, scheduled=False)
        return await self._db.write(
            lambda tx: once(tx, principal, key, BackupRecord, self._clock, lambda tx: made)
        )

    # --- back

    async def preview(
        self, principal: Principal, environment: Environment, id_: str, expected: int | None = None
    ) -> EnvironmentState:
        """What `restore` would lead to, with its `changes`; nothing is changed. Raises as it does."""
        snapshot = await self._opened(principal, environment, id_)
        return await self._estate.preview_put_back(principal, snapshot, expected)

    async def restore(
        self,
        principal: Principal,
        environment: Environment,
        id_: str,
        reason: str | None = None,
        expected: int | None = None,
        key: Once | None = None,
    ) -> EnvironmentState:
        """Make an environment what it was in a backup, as a new version.

        Raises Invalid for a backup that was changed, NotFound, Refused where this server has no key that
        opens it, Stale.
        """
        snapshot = await self._opened(principal, environment, id_)
        return await self._estate.put_back(principal, snapshot, id_, reason, expected, key)

    async def _opened(self, principal: Principal, environment: Environment, id_: str) -> Snapshot:
        self._access.require(principal, Action.BACKUP_RESTORE, environment)
        record = await self._db.read(lambda tx: store.find(tx, environment.value, id_))
        if record is None:
            raise NotFound(f"{environment} has no backup `{id_}`")
        path = await asyncio.to_thread(self._path, record)
        _, snapshot = await asyncio.to_thread(
            environments.read_snapshot, path, self._identities(), sha256=record.sha256
        )
        return snapshot

    # --- by itself

    def jobs(self) -> tuple[Job, ...]:
        """What the settings want to happen by itself."""
        wanted = (
            ("backup.make", self._making, self.make_due),
            ("backup.test", self._testing, self.test_newest),
        )
        return tuple(Job(name, trigger, run) for name, trigger, run in wanted if trigger is not None)

    async def begin(self) -> None:
        """Find out how old the newest backups are."""
        for record in reversed(await self._db.read(store.every)):
            if record.what in self._newest:
                self._newest[record.what] = record.at

    async def make_due(self) -> None:
        """Back up what the settings name, and remove what is old. Facts: BackupMade, BackupFailed."""
        for what in self._settings.backup.what:
            if not await self._is_there(what):
                self._newest[what] = self._clock.micros()
                continue
            try:
                await self._made(what, self._name(), SYSTEM, scheduled=True)
            except Problem as problem:
                log.error("no backup of %s was made: %s", what, problem)
            else:
                await self._remove_old(what)

    async def test_newest(self) -> None:
        """Restore the newest backups into scratch. Facts: BackupTested, BackupTestFailed."""
        for what in self._settings.backup.what:
            for record in (await self._all(what))[:1]:
                await self._test(record)

    def signs(self) -> dict[str, Sign]:
        """For /health, where the settings want backups: `ok`, `failed` or `overdue`."""
        return {"backups": self._sign} if self.jobs() else {}

    def _sign(self) -> str:
        if self._troubles:
            return "failed"
        return "overdue" if self._late() else "ok"

    @property
    def figures(self) -> dict[str, Any]:
        """For the diagnostics: when what the settings name was backed up last, what is late or failed."""
        return {
            "newest": {what: to_datetime(at).isoformat() for what, at in self._newest.items()},
            "overdue": self._late(),
            "failed": {f"{what} {act}": said for (what, act), said in self._troubles.items()},
        }

    def _late(self) -> tuple[str, ...]:
        now, wanted = self._clock.micros(), self._settings.backup
        return tuple(what for what, at in self._newest.items() if schedule.is_late(wanted, at, now))

    # --- making

    async def _is_there(self, what: str) -> bool:
        """An environment that was never configured holds nothing."""
        if what == HOME:
            return True
        _, version = await self._db.read(lambda tx: estate.newest(tx, Environment(what)))
        return version is not None

    async def _made(self, what: str, id_: str, by: Principal, *, scheduled: bool) -> BackupRecord:
        async with self._locks[what]:
            standing = await self._db.read(lambda tx: store.find(tx, what, id_))
            if standing is not None:
                return standing
            try:
                record = await self._kept(what, id_, by, scheduled=scheduled)
                await send(self._folder / record.file, self._settings.backup, self._environ)
            except Problem as problem:
                await self._failed(what, id_, problem, by, scheduled=scheduled)
                raise
            self._troubles.pop((what, "make"), None)
            if what in self._newest:
                self._newest[what] = record.at
            return record

    async def _kept(self, what: str, id_: str, by: Principal, *, scheduled: bool) -> BackupRecord:
        target = self._folder / f"dg-{what}-{id_}.dgb"
        made = await self._written(what, target)
        try:
            digest, size = await asyncio.to_thread(_digest, target)
            record = BackupRecord(
                id=id_,
                environment=None if what == HOME else Environment(what),
                at=made[0].made_at,
                by=by.id,
                scheduled=scheduled,
                file=target.name,
                size=size,
                sha256=digest,
                head_seq=made[0].head.seq,
                version=made[1],
                keys=tuple(recipient.name for recipient in keys.recipients(self._settings)),
                folder=str(self._settings.backup.folder or keys.FOLDER),
            )
            return await self._db.write(lambda tx: _keep(tx, record, by))
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    async def _written(self, what: str, target: Path) -> tuple[Manifest, int | None]:
        """The manifest of a new backup; of an environment also its version."""
        if what == HOME:
            taken = await take(
                self._settings,
                target,
                clock=self._clock,
                environ=self._environ,
                secrets=self._settings.backup.with_secrets,
            )
            return taken.manifest, None
        self._make_folder()
        snapshot, head = await self._db.read(lambda tx: self._look(tx, Environment(what)))
        manifest = await asyncio.to_thread(
            environments.write,
            snapshot,
            target,
            keys.recipients(self._settings),
            head=head,
            made_at=self._clock.micros(),
        )
        return manifest, snapshot.versions[-1].version.version

    def _look(self, tx: Tx, environment: Environment) -> tuple[Snapshot, Point]:
        head = ledger.head(tx)
        point = Point(seq=head.seq, hash=head.hash, at=self._clock.micros())
        return snapshots.take(tx, self._vault, environment), point

    async def _failed(self, what: str, id_: str, problem: Problem, by: Principal, *, scheduled: bool) -> None:
        fact = BackupFailed(
            backup=f"{what}/{id_}",
            environment=None if what == HOME else what,
            reason=problem.message,
            scheduled=scheduled,
        )
        if scheduled:
            self._troubles[what, "make"] = problem.message
        await self._db.write(lambda tx: tx.append(fact, by))

    async def _all(self, what: str) -> Sequence[BackupRecord]:
        return await self._db.read(lambda tx: store.every(tx, what))

    async def _remove_old(self, what: str) -> None:
        mine = [each for each in await self._all(what) if each.scheduled]
        stay = schedule.staying(((each.id, each.at) for each in mine), self._settings.backup)
        for record in mine:
            if record.id not in stay:
                path = await asyncio.to_thread(self._path, record)
                await asyncio.to_thread(path.unlink, missing_ok=True)
                await self._db.write(_removing(record))

    # --- testing

    async def _test(self, record: BackupRecord) -> None:
        began = self._clock.monotonic()
        problem: str | None = None
        try:
            await self._prove(record)
        except Problem as found:
            problem = found.message
        seconds = round(self._clock.monotonic() - began, 3)
        at = self._clock.micros()

        def work(tx: Tx) -> None:
            store.note_test(tx, record, at, problem)
            tx.append(_tested(record, seconds, problem), SYSTEM)

        await self._db.write(work)
        self._troubles.pop((record.what, "test"), None)
        if problem:
            self._troubles[record.what, "test"] = problem
            log.error("the backup %s does not restore: %s", record.place, problem)

    async def _prove(self, record: BackupRecord) -> None:
        path = await asyncio.to_thread(self._path, record)
        await prove(
            path,
            self._settings.home / FOLDER,
            clock=self._clock,
            environ=self._environ,
            identities=self._identities(),
        )
        if (await asyncio.to_thread(_digest, path))[0] != record.sha256:
            raise archive.bad("it is not the file that this server made")

    # --- where

    @property
    def _folder(self) -> Path:
        return keys.folder(self._settings)

    def _path(self, record: BackupRecord) -> Path:
        """The file of a backup: where the settings say by now when it is there, else where it was put."""
        path = self._folder / record.file
        if record.folder is None or os.access(path, os.F_OK):
            return path
        return self._settings.home / record.folder / record.file

    def _make_folder(self) -> None:
        if self._settings.backup.folder is None:
            self._folder.mkdir(mode=0o700, exist_ok=True)

    def _identities(self) -> tuple[Identity, ...]:
        return keys.identities(self._settings)

    def _name(self) -> str:
        """An id that sorts by time: 20261126-023000-041."""
        moment = to_datetime(self._clock.micros())
        return f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 1000:03}"


def _keep(tx: Tx, record: BackupRecord, by: Principal) -> BackupRecord:
    store.add(tx, record)
    fact = BackupMade(
        backup=record.place,
        environment=record.tier,
        size=record.size,
        sha256=record.sha256,
        head_seq=record.head_seq,
        scheduled=record.scheduled,
    )
    tx.append(fact, by)
    # With its maker's name.
    return store.find(tx, record.what, record.id) or record


def _tested(record: BackupRecord, seconds: float, problem: str | None) -> BackupFact:
    if problem:
        return BackupTestFailed(backup=record.place, environment=record.tier, reason=problem)
    return BackupTested(backup=record.place, environment=record.tier, seconds=seconds)


def _removing(record: BackupRecord) -> Callable[[Tx], None]:
    def work(tx: Tx) -> None:
        store.remove(tx, record)
        tx.append(BackupRemoved(backup=record.place, environment=record.tier), SYSTEM)

    return work


def _digest(path: Path) -> tuple[str, int]:
    """The SHA-256 of a file, and its size."""
    with path.open("rb") as file:
        return environments.digest(file), os.fstat(file.fileno()).st_size
