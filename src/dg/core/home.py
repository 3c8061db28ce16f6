"""The home: the one folder that holds everything a server keeps, and the lock that makes it one server's."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dg.core.errors import Refused


@dataclass(frozen=True)
class Place:
    """Where a server runs: the machine's name, and the home's path and identity on it."""

    host: str
    path: str
    home: str

    def __str__(self) -> str:
        return f"{self.host}:{self.path}"


@dataclass(frozen=True)
class Home:
    """Where things stand below `path`. Every folder is 0700 and every file 0600."""

    path: Path

    @property
    def state(self) -> Path:
        return self.path / "dg.db"

    @property
    def logs(self) -> Path:
        return self.path / "logs.db"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def lanes(self) -> Path:
        return self.path / "lanes"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def mirrors(self) -> Path:
        return self.path / "git"

    @property
    def secrets(self) -> Path:
        return self.path / "secrets.toml"

    @property
    def address(self) -> Path:
        """`{"url", "pid"}` of the server that runs here."""
        return self.path / "server.json"

    @property
    def owner_token(self) -> Path:
        """The token of the machine's owner, for the commands on this machine."""
        return self.path / "local.token"

    def place(self) -> Place:
        """Where this home is. Its identity is made at the first call; a copy of a home on another path or
        machine is another place all the same.
        """
        file = self.path / "home.id"
        if not file.exists():
            write_private(file, secrets.token_hex(16))
        return Place(socket.gethostname(), str(self.path.resolve()), file.read_text().strip())

    def make(self) -> None:
        """Create what is missing. Raises Refused where that cannot be done, or others could write too."""
        try:
            for folder in (self.path, self.keys, self.lanes, self.runs, self.mirrors):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _check_private(folder)
        except OSError as error:
            raise Refused(
                f"the home {self.path} cannot be made: {error.strerror}; choose another with --home",
                reason="home_unusable",
            ) from None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the home. Raises Refused when another process does."""
        self.make()
        descriptor = os.open(self.path / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused(
                    f"another dg server holds the home {self.path}{self._where()}; "
                    "stop it, or choose another home with --home",
                    reason="home_locked",
                ) from None
            yield
        finally:
            os.close(descriptor)

    def _where(self) -> str:
        try:
            address = json.loads(self.address.read_text())
            return f" (pid {int(address['pid'])}, {address['url']})"
        except (OSError, ValueError, KeyError, TypeError):
            return ""


def _check_private(folder: Path) -> None:
    """Raise Refused for a folder in which somebody else may have put a key or a link, or still can."""
    facts = folder.stat()
    if facts.st_uid != os.geteuid():
        raise Refused(
            f"{folder} belongs to another user (uid {facts.st_uid}): run dg as that user, "
            "or choose another home with --home",
            reason="home_exposed",
        )
    if facts.st_mode & 0o022:
        raise Refused(
            f"others may write to {folder}: look what is in it, then run `chmod 700 {folder}`",
            reason="home_exposed",
        )


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step, readable by its owner alone."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
