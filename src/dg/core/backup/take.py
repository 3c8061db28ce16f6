"""Makes a backup of a home, while its server and runners go on or after they ended; called by `dg backup`."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from dg import __version__
from dg.core.backup import archive, databases, keys
from dg.core.backup.encryption import Recipient
from dg.core.backup.models import FORMAT, File, Manifest, Point, Taken, is_secret
from dg.core.backup.reading import read
from dg.core.backup.scratch import FOLDER, scratch
from dg.core.clock import Clock
from dg.core.database.address import Address, address_of
from dg.core.deployments.git import Mirrors
from dg.core.errors import NotFound, Refused, Unavailable
from dg.core.home import Home
from dg.runner import spool
from dg.settings import Settings
from dg.settings.leaves import leaves
from dg.settings.loader import FILE

_NOT_KEPT = frozenset({"server.lock", "server.json", "local.token", "home.id", "lanes", FOLDER, keys.FOLDER})
"""What a home holds for the server that runs in it, and what the next one makes anew."""
_DATABASE_FILES = ("", "-wal", "-shm", "-journal")
_FOLDERS = frozenset({"keys", "runs", "git"})


async def take(
    settings: Settings,
    target: Path,
    *,
    clock: Clock,
    environ: Mapping[str, str],
    secrets: bool = False,
) -> Taken:
    """Write a backup of the home of `settings` to `target`, whole or not at all; secrets on demand.

    It is encrypted for whom the settings name, and read back before it appears. It holds what was
    acknowledged before the call: the state is copied first, and what only grows beside it (logs,
    repositories, runs) after it.

    Raises:
        Refused: `target` exists, or the database cannot be used.
        NotFound: there is no such home.
        Invalid: the home's own data is damaged, so that this would be no backup.
        Unavailable: the disk is full, or git does not answer.
    """
    home = Home(settings.home)
    await asyncio.to_thread(_check, settings, home, target)
    mirrors = Mirrors(home.mirrors, clock=clock, environ=environ)
    recipients = keys.recipients(settings)
    try:
        with archive.writing(target, recipients) as writer:
            async with scratch(home.path / FOLDER) as folder:
                work = _Work(home, writer, folder)
                made_at = clock.micros()
                schema, head, counts = await asyncio.to_thread(
                    work.add_databases, address_of(settings.database)
                )
                for mirror in sorted(home.mirrors.glob("*.git")):
                    await work.add_mirror(mirrors, mirror.name.removesuffix(".git"))
                await asyncio.to_thread(work.add_files, settings, secrets)
                manifest = Manifest(
                    format=FORMAT,
                    version=__version__,
                    made_at=made_at,
                    store="sqlite" if settings.database.in_home else "postgresql",
                    schema=schema,
                    head=head,
                    counts=counts,
                    files=work.files,
                )
                await asyncio.to_thread(work.finish, manifest)
    except (OSError, sqlite3.Error) as error:
        raise cannot(target, error) from error
    return await asyncio.to_thread(_taken, home, target, manifest, recipients)


def _check(settings: Settings, home: Home, target: Path) -> None:
    if not (home.state.exists() if settings.database.in_home else home.path.exists()):
        raise NotFound(f"{home.path} holds no record of anything; choose another home with --home")
    if home.path.stat().st_uid != os.geteuid():
        # git refuses somebody else's repositories, root or not.
        raise Refused(
            f"{home.path} belongs to another user (uid {home.path.stat().st_uid}): run dg as that user",
            reason="home_exposed",
        )
    if target.resolve().is_relative_to(home.path.resolve()):
        raise Refused(f"{target} would be lost with the home; choose a place outside", reason="inside_home")
    check_target(target)
    _check_space(home, target)


def check_target(target: Path) -> None:
    """Raise Refused unless a file can be made there, and replaces none."""
    if target.exists() or target.is_symlink():
        raise Refused(f"{target} exists already; choose another name", reason="exists")
    if not target.parent.is_dir():
        raise Refused(f"there is no folder {target.parent}; make it first", reason="no_folder")


def _check_space(home: Home, target: Path) -> None:
    sizes = [_size(path) for path in home.path.iterdir()]
    for folder, needed in ((target.parent, sum(sizes)), (home.path, max(sizes))):
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise Unavailable(
                f"{folder} has {free >> 20} MiB free and a backup of {home.path} may take {needed >> 20} "
                "there; make room, or choose another disk",
                reason="disk_full",
            )


def _size(path: Path) -> int:
    # Not `rglob`, which raises when a run's work tree is removed meanwhile; `walk` passes over it.
    below = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return _bytes(path) + sum(map(_bytes, below))


def _bytes(file: Path) -> int:
    try:
        return file.lstat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0


def cannot(target: Path, error: OSError | sqlite3.Error) -> Unavailable:
    """What to raise when a backup could not be written."""
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Unavailable(f"there is no room for {target}; choose another disk", reason="disk_full")
    return Unavailable(f"the backup cannot be made: {error}", reason="backup")


class _Work:
    """One backup being made. `folder` takes what has to be copied before it can be put in."""

    def __init__(self, home: Home, writer: archive.Writer, folder: Path) -> None:
        self._home = home
        self._writer = writer
        self._folder = folder
        self.files: dict[str, File] = {}

    def add_databases(self, address: Address | None) -> tuple[dict[str, str], Point, dict[str, int]]:
        """Their schemas, up to where the ledger reaches, and rows by table."""
        state, logs = self._folder / self._home.state.name, self._folder / self._home.logs.name
        if address is None:
            # State before logs, which only ever know more.
            databases.copy(self._home.state, state)
            databases.copy(self._home.logs, logs)
        else:
            databases.copy_postgresql(address, state, logs)
        for copied in (state, logs):
            databases.check(copied)
        schema = {"state": databases.revision(state), "logs": databases.revision(logs)}
        counts = databases.counts(state) | databases.counts(logs)
        head = databases.check_ledger(state)
        for copied in (state, logs):
            self._add_and_remove(copied.name, copied)
        return schema, head, counts

    async def add_mirror(self, mirrors: Mirrors, service: str) -> None:
        """With the commits that dg keeps against a force-push."""
        bundle = self._folder / f"{service}.bundle"
        if await mirrors.bundle(service, bundle):
            await asyncio.to_thread(self._add_and_remove, f"git/{service}.bundle", bundle)

    def add_files(self, settings: Settings, secrets: bool) -> None:
        """Runs without their work trees, the settings, and what opens something where that is wanted."""
        named = {path.relative_to(self._home.path).as_posix(): path for path in _plain_files(self._home)}
        for name in sorted(filter(archive.is_known, named)):
            if name not in self.files and (secrets or not _opens_something(name, settings)):
                with _opened(named[name]) as file:
                    if file is not None:
                        self._add(name, file)

    def finish(self, manifest: Manifest) -> None:
        finish(self._writer, manifest)

    def _add_and_remove(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            self._add(name, file)
        path.unlink()

    def _add(self, name: str, file: BinaryIO) -> None:
        # A runner may write on: what stands there now is taken, and no more.
        size = os.fstat(file.fileno()).st_size
        self.files[name] = File(size=size, sha256=self._writer.add(name, file, size))


def finish(writer: archive.Writer, manifest: Manifest) -> None:
    """Put the manifest in; the backup appears when what is read back is what it says. Raises OSError."""
    text = manifest.model_dump_json(by_alias=True, indent=1).encode()
    writer.add(archive.MANIFEST, BytesIO(text), len(text))
    writer.finish(lambda found: _compare(read(found), manifest))


def _compare(found: Manifest, written: Manifest) -> None:
    if found != written:
        raise OSError("what was read back is not what was written")


def _plain_files(home: Home) -> Iterator[Path]:
    """Everything below the home that a backup may hold as it stands there."""
    yield from (home.path / FILE, home.secrets, *home.keys.iterdir())
    for run in _listed(home.runs):
        yield from _listed(run)
        yield from _listed(run / spool.LOG)


def _listed(folder: Path) -> list[Path]:
    """What a folder holds; nothing when retention has just removed it."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO | None]:
    """A regular file; None for anything else, and for one that retention has just removed.

    Steps run as the same user: a link or a pipe in a run's folder may be theirs.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO}:
            raise
        yield None
        return
    with os.fdopen(descriptor, "rb") as file:
        yield file if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def _opens_something(name: str, settings: Settings) -> bool:
    """Whether whoever reads the backup could use this file against somebody."""
    if name == FILE:
        return any(leaf.secret and leaf.value(settings) is not None for leaf in leaves())
    return is_secret(name)


def _taken(home: Home, target: Path, manifest: Manifest, recipients: Sequence[Recipient]) -> Taken:
    names = tuple(recipient.name for recipient in recipients)
    return Taken(target, target.stat().st_size, manifest, names, tuple(_missing(home, manifest)))


def _missing(home: Home, manifest: Manifest) -> Iterator[str]:
    """What stands in the home and not in the backup, but for what only the running server needs."""
    for path in sorted(home.path.iterdir()):
        kept = path.name in manifest.files or path.name in _FOLDERS or _is_database(home, path)
        if not kept and path.name not in _NOT_KEPT:
            yield path.name
    for path in sorted(home.keys.iterdir()):
        if f"keys/{path.name}" not in manifest.files:
            yield f"keys/{path.name}"


def _is_database(home: Home, path: Path) -> bool:
    return path.name in {f"{file.name}{end}" for file in (home.state, home.logs) for end in _DATABASE_FILES}
