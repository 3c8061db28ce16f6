"""Makes a home from a backup: verifies all of it first, then puts it in place; called by `dg restore`."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from dg.core import schema
from dg.core.access.models import SYSTEM
from dg.core.backup import databases
from dg.core.backup.archive import Member, bad, examine, sync_folder
from dg.core.backup.encryption import Identity
from dg.core.backup.models import Manifest, Restored
from dg.core.backup.reading import read
from dg.core.clock import Clock, Ids
from dg.core.database import SqliteFile, Tx, open_database, prepare
from dg.core.deployments.git import Mirrors
from dg.core.deployments.salvage import Salvaged, salvage
from dg.core.errors import Invalid, Refused, Unavailable
from dg.core.events import HomeRestored
from dg.core.home import Home
from dg.core.ledger import Ledger
from dg.core.migrations.upgrade import migrate
from dg.core.tasks import open_tasks


async def restore(
    source: Path,
    home: Home,
    *,
    clock: Clock,
    environ: Mapping[str, str],
    identities: Sequence[Identity] = (),
) -> Restored:
    """Make `home`, which must be empty or not there, what it was when the backup `source` was made.

    What was unfinished then is ended as interrupted. Nothing is left behind when it cannot be done.

    Raises:
        Refused: the home is not empty, is held by a server, the backup is of a newer dg or of one
            environment, or none of `identities` opens it.
        Invalid: the backup is cut off, was changed or does not hold what it says.
        Unavailable: the disk is full, or git does not answer.
    """
    async with _place(home) as staging:
        try:
            with source.open("rb") as file:
                archive = await asyncio.to_thread(examine, file, identities)
                _check_space(staging, archive.unpacked)
                manifest = await asyncio.to_thread(read, archive, lambda member: _write(staging, member))
        except OSError as error:
            raise Unavailable(f"the backup cannot be unpacked: {error}", reason="restore") from error
        _check_kind(manifest)
        await asyncio.to_thread(_check_content, staging, manifest)
        await _make_mirrors(staging, clock, environ)
        ended = await _open(staging, manifest, clock)
        await asyncio.to_thread(_move, staging, home)
    return Restored(home.path, manifest, ended.interrupted, ended.unstarted)


def _check_kind(manifest: Manifest) -> None:
    if manifest.environment is not None:
        raise Refused(
            f"this backup holds {manifest.environment} alone, and no home can be made of it",
            reason="one_environment",
        )


@asynccontextmanager
async def _place(home: Home) -> AsyncIterator[Home]:
    """A home within the home, which is held meanwhile; both are gone again when the block fails.

    It is within, not beside it: the home may be a mounted disk whose parent is another one.
    """
    existed = home.path.exists()
    if existed and (not home.path.is_dir() or any(home.path.iterdir())):
        raise Refused(
            f"{home.path} is not empty, and a restore replaces nothing; choose another home with --home",
            reason="home_not_empty",
        )
    with home.lock():
        staging = Home(Path(mkdtemp(prefix=".restoring-", dir=home.path)))
        staging.make()
        try:
            yield staging
        except BaseException:
            await asyncio.shield(asyncio.to_thread(_clear, home, staging, existed=existed))
            raise


def _clear(home: Home, staging: Home, *, existed: bool) -> None:
    shutil.rmtree(staging.path)
    (home.path / "server.lock").unlink()
    made = (home.keys, home.lanes, home.runs, home.mirrors, *(() if existed else (home.path,)))
    for folder in made:
        with suppress(OSError):
            folder.rmdir()


def _check_space(staging: Home, unpacked: int) -> None:
    free = shutil.disk_usage(staging.path).free
    # The repositories stand there twice for a moment.
    if free < 2 * unpacked:
        raise Unavailable(
            f"the home's disk has {free >> 20} MiB free and the restore may take {2 * unpacked >> 20}; "
            "choose another home with --home",
            reason="disk_full",
        )


def _write(staging: Home, member: Member) -> None:
    path = staging.path / member.name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for piece in member.pieces():
            file.write(piece)


def _check_content(staging: Home, manifest: Manifest) -> None:
    """Check the databases and bring them to this dg's schema. Raises Invalid, Refused for a newer one."""
    try:
        for path in (staging.state, staging.logs):
            databases.check(path)
        _check_counts(staging, manifest)
        _migrate(staging, manifest)
        head = databases.check_ledger(staging.state)
    except Refused:
        raise
    except Invalid as problem:
        raise bad(problem.message) from None
    if head != manifest.head:
        raise bad(f"its ledger ends at {head.seq} and its manifest says {manifest.head.seq}")


def _check_counts(staging: Home, manifest: Manifest) -> None:
    found = databases.counts(staging.state) | databases.counts(staging.logs)
    for table, count in manifest.counts.items():
        if found.get(table) != count:
            raise bad(f"its manifest counts {count} rows of {table}, and there are {found.get(table, 0)}")


def _migrate(staging: Home, manifest: Manifest) -> None:
    for path, kind, newest in (
        (staging.state, "state", schema.STATE_HEAD),
        (staging.logs, "logs", schema.LOGS_HEAD),
    ):
        prepare(path)
        try:
            migrate(path, kind, newest)
        except Refused as problem:
            raise Refused(
                f"this backup was made by dg {manifest.version}, which is newer than this dg: "
                "restore it with that version",
                reason=problem.reason,
            ) from None


async def _make_mirrors(staging: Home, clock: Clock, environ: Mapping[str, str]) -> None:
    mirrors = Mirrors(staging.mirrors, clock=clock, environ=environ)
    for bundle in sorted(staging.mirrors.glob("*.bundle")):
        await mirrors.unbundle(bundle.stem, bundle)
        bundle.unlink()


async def _open(staging: Home, manifest: Manifest, clock: Clock) -> Salvaged:
    """End what nobody follows any more. Facts: HomeRestored, DeploymentFinished and what follows from it."""
    ids = Ids(clock)
    fact = HomeRestored(made_at=manifest.made_at, head_seq=manifest.head.seq)

    def work(tx: Tx) -> Salvaged:
        tx.append(fact, by=SYSTEM)
        return salvage(tx, clock.micros(), ids)

    file = SqliteFile(staging.state, readers=1)
    async with (
        open_tasks() as tasks,
        open_database(file, clock=clock, tasks=tasks, seal=Ledger(clock).seal) as db,
    ):
        return await db.write(work)


def _move(staging: Home, home: Home) -> None:
    """Put it in place, the state last: without it a home holds nothing."""
    os.sync()
    for path in sorted(staging.path.iterdir(), key=lambda path: path == staging.state):
        path.rename(home.path / path.name)
    staging.path.rmdir()
    sync_folder(home.path)
