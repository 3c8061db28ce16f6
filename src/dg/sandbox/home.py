"""The sandbox's folder: a server's home, with the shop's repository, releases and hosts below `sandbox/`."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dg.core.errors import Refused


@dataclass(frozen=True)
class SandboxHome:
    """Where things stand below `path`, which is the server's home. `passing`: it is removed at the end."""

    path: Path
    passing: bool

    @property
    def own(self) -> Path:
        """What is the sandbox's and not the server's. Its lock file marks the home as one."""
        return self.path / "sandbox"

    @property
    def repository(self) -> Path:
        return self.own / "shop"

    @property
    def releases(self) -> Path:
        """Where build steps put what they packed: a stand-in for a team's registry."""
        return self.own / "releases"

    def host(self, environment: str) -> Path:
        return self.own / environment

    def log(self, name: str) -> Path:
        return self.own / f"{name}.log"


@contextmanager
def open_home(given: Path | None, *, keep: bool) -> Iterator[SandboxHome]:
    """An empty home, the caller's alone (0700), removed with the block unless it was given or is kept.

    An earlier sandbox's home is emptied first. Raises Refused for a folder that holds anything else, and for
    a home that another sandbox uses now.
    """
    path = _made(given)
    home = SandboxHome(path, passing=given is None and not keep)
    try:
        with _marked(home):
            _clear(home)
            home.releases.mkdir(mode=0o700)
            yield home
    finally:
        if home.passing:
            shutil.rmtree(path)


def _made(given: Path | None) -> Path:
    if given is None:
        return Path(tempfile.mkdtemp(prefix="dg-sandbox-")).resolve()
    path = given.expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        foreign = any(path.iterdir()) and not (path / "sandbox" / "lock").exists()
    except OSError as error:
        raise Refused(f"{path} cannot be used as a home: {error.strerror}", reason="home_unusable") from None
    if foreign:
        raise Refused(
            f"{path} is not empty and no sandbox made it; name an empty or new folder with --home",
            reason="home_foreign",
        )
    path.chmod(0o700)
    return path


@contextmanager
def _marked(home: SandboxHome) -> Iterator[None]:
    home.own.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(home.own / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"another sandbox uses {home.path}; end it, or name another folder with --home",
                reason="home_locked",
            ) from None
        yield
    finally:
        os.close(descriptor)


def _clear(home: SandboxHome) -> None:
    for entry in (*home.path.iterdir(), *home.own.iterdir()):
        if entry in (home.own, home.own / "lock"):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
