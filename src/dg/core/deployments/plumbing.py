"""Runs git on the mirrors, for `git` and `patches`: with which environment, how long, what a failure is."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from dg.core.command import Finished, run
from dg.core.deployments.complaints import complaint
from dg.core.deployments.sources import SSH_OPTIONS
from dg.core.errors import Invalid, NotFound, Unavailable
from dg.core.text import plain
from dg.core.types import COMMIT_PATTERN, NAME_PATTERN

FULL_ID = re.compile(COMMIT_PATTERN)
_SERVICE = re.compile(NAME_PATTERN)

_INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK"),
    *("http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"),
)
_FIXED = {
    "LC_ALL": "C",
    "GIT_ALLOW_PROTOCOL": "https:ssh:file",
    "GIT_PROTOCOL_FROM_USER": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
    "GIT_HTTP_LOW_SPEED_TIME": "30",
}
_CONFIG = (
    *("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false"),
    *("-c", "gc.auto=0", "-c", "gc.autoDetach=false", "-c", "maintenance.auto=false"),
)

_NOTHING: Mapping[str, str] = {}
_CAP = 4 * 1024 * 1024


class Plumbing:
    """Runs git on the bare mirrors below `root`, one per service; `timeout` (seconds) is for each run that is
    given no other.

    `environ` is the server's environment, of which git gets what reaching a remote needs (`HOME` for ssh keys
    and .netrc, proxies); `ssh_command` is for addresses that no source is set for.
    """

    def __init__(self, root: Path, environ: Mapping[str, str], *, ssh_command: str, timeout: float) -> None:
        self.root = root
        self._timeout = timeout
        self._env = {name: environ[name] for name in _INHERITED if name in environ}
        self._env |= _FIXED | {"GIT_SSH_COMMAND": f"{ssh_command} {shlex.join(SSH_OPTIONS)}"}

    def path(self, service: str) -> Path:
        """Where the mirror of `service` stands. Raises Invalid for what is no name of a service."""
        if not _SERVICE.fullmatch(service):
            raise Invalid(f"`{plain(service, limit=80)}` is not a name of a service")
        return self.root / f"{service}.git"

    async def ask(
        self,
        service: str,
        *arguments: str,
        timeout: float | None = None,
        cap: int = _CAP,
        allowed: tuple[int, ...] = (0,),
    ) -> Finished:
        """Git in the mirror of `service`, with at most `cap` bytes of its answer.

        Raises NotFound where there is no mirror yet, Unavailable when git fails with a code that is not
        `allowed`, and as `run` does.
        """
        mirror = self.path(service)
        if not mirror.exists():
            raise NotFound(f"the repository of `{service}` was never fetched")
        finished = await self.run(f"--git-dir={mirror}", *arguments, timeout=timeout, cap=cap)
        return finished if finished.code in allowed else require(finished, service)

    async def run(
        self,
        *arguments: str,
        timeout: float | None = None,
        cap: int = _CAP,
        variables: Mapping[str, str] = _NOTHING,
        descriptors: tuple[int, ...] = (),
    ) -> Finished:
        """Git anywhere, however it ends; `variables` and `descriptors` are this one's alone.

        Raises Unavailable when it takes longer than `timeout` seconds, or is not installed.
        """
        seconds = timeout or self._timeout
        argv, env = ["git", *_CONFIG, *arguments], {**self._env, **variables}
        try:
            return await run(argv, env=env, timeout=seconds, cap=cap, descriptors=descriptors)
        except TimeoutError:
            raise Unavailable(
                f"git did not answer within {seconds:g} seconds and was stopped", reason="git"
            ) from None
        except FileNotFoundError:
            raise Unavailable("git is not installed where the server runs", reason="git") from None

    async def commit(self, service: str, name: str) -> str | None:
        """The commit that `name` (a full ref or an object id) leads to, or None."""
        mirror = self.path(service)
        if not mirror.exists():
            return None
        finished = await self.run(
            *(f"--git-dir={mirror}", "rev-parse", "--verify", "--quiet"),
            *("--end-of-options", f"{name}^{{commit}}"),
        )
        return finished.stdout.decode("ascii").strip() if finished.code == 0 else None


def require(finished: Finished, service: str) -> Finished:
    """What ended well. Raises Unavailable with git's own complaint."""
    if finished.code == 0:
        return finished
    raise Unavailable(f"git failed for the repository of `{service}`: {complaint(finished)}", reason="git")


def checked(commit: str) -> str:
    """A full commit id. Raises Invalid."""
    if not FULL_ID.fullmatch(commit):
        raise Invalid(f"`{plain(commit, limit=80)}` is not a full commit id of 40 lower case hex digits")
    return commit


def inside(path: str) -> str:
    """A path that stays in the repository. Raises Invalid."""
    if not path or path.startswith(("/", ":")) or ".." in path.split("/") or "\0" in path:
        raise Invalid(f"`{plain(path, limit=200)}` is not a path inside the repository")
    return path
