"""What opens the server at each request: a token that stays as it is, or a session that is kept in a file.

Refresh tokens are good once, so the processes of one person take turns: whoever holds the file's lock asks
for the next tokens, the others find them in the file.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from dg.client.errors import NoCredential
from dg.client.private import owners_file, state_folder
from dg.core.clock import Clock
from dg.core.errors import Unauthenticated, Unavailable
from dg.core.home import write_private

if TYPE_CHECKING:
    from dg.client.kept import Kept
    from dg.core.access.sessions import SessionTokens

T = TypeVar("T")
Refresh = Callable[[str], Awaitable["SessionTokens"]]

_PATIENCE = 40.0
_LOOK = 0.05
"""Seconds: how long one process waits for another to refresh, and how often it looks."""


class Credential(Protocol):
    """Gives the bearer token of each request. `refresh` is how to ask the server for the next tokens."""

    @property
    def renewable(self) -> bool:
        """Whether there can be another token than the one that is given now."""
        ...

    async def token(self, refresh: Refresh) -> str:
        """The one to use now. Raises NoCredential, and what `refresh` raises."""
        ...

    async def renew(self, refused: str, refresh: Refresh) -> None:
        """Give another one than `refused`, which the server did not take, from now on."""
        ...


class Fixed:
    """A token that somebody gave."""

    renewable = False

    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self, refresh: Refresh) -> str:
        return self._token

    async def renew(self, refused: str, refresh: Refresh) -> None:
        raise NoCredential("this token cannot be renewed: set DG_TOKEN to another one")


class Keeping(Protocol):
    """Where a session at `url` is kept, by one who refreshes it at a time."""

    url: str

    def read(self) -> Kept | None:
        """What is kept; None when nobody is signed in. Raises NoCredential."""
        ...

    def write(self, tokens: SessionTokens, now: int) -> Kept:
        """Keep what the server gave at `now` (microseconds)."""
        ...

    def lock(self, clock: Clock) -> AbstractAsyncContextManager[None]:
        """Be the only one who refreshes. Raises Unavailable."""
        ...


class SessionFile:
    """Where the session at one server is kept: a file of its owner's alone."""

    def __init__(self, url: str, path: Path) -> None:
        self.url = url
        self.path = path

    @classmethod
    def of(cls, url: str, environ: Mapping[str, str]) -> SessionFile | None:
        """The file for the server at `url` (as `checked` gives it); None without a home directory."""
        folder = state_folder(environ)
        if folder is None:
            return None
        host = re.sub(r"[^a-z0-9.-]", "", (urlsplit(url).hostname or "").lower())[:60]
        digest = hashlib.sha256(url.encode()).hexdigest()[:12]
        return cls(url, folder / "sessions" / f"{host}-{digest}.json")

    def is_there(self) -> bool:
        """Whether somebody is signed in. Raises NoCredential for a file that others read."""
        return self._text() is not None

    def read(self) -> Kept | None:
        """What is kept; None when nobody is signed in. Raises NoCredential for a file that others read."""
        from dg.client.kept import Kept

        text = self._text()
        if text is None:
            return None
        kept = Kept.parse(text)
        if kept is None or kept.url != self.url:
            raise self._damaged()
        return kept

    def _text(self) -> str | None:
        """The file's, once it is plain that it holds a session of this server."""
        try:
            text = owners_file(self.path)
        except FileNotFoundError:
            return None
        try:
            url = json.loads(text)["url"]
        except (ValueError, KeyError, TypeError, RecursionError):
            url = None
        if url != self.url:
            raise self._damaged()
        return text

    def _damaged(self) -> NoCredential:
        return NoCredential(f"{self.path} is damaged: sign in again with `dg login`")

    def write(self, tokens: SessionTokens, now: int) -> Kept:
        """Keep what the server gave at `now` (microseconds)."""
        from dg.client.kept import Kept

        kept = Kept.of(self.url, tokens, now)
        self._make_folder()
        write_private(self.path, kept.model_dump_json(exclude_none=True))
        return kept

    def delete(self) -> None:
        """Forget the session."""
        self.path.unlink(missing_ok=True)

    @asynccontextmanager
    async def lock(self, clock: Clock) -> AsyncIterator[None]:
        """Be the only process that refreshes. Raises Unavailable when another one does not come to an end."""
        self._make_folder()
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline = clock.monotonic() + _PATIENCE
            while not _try_lock(descriptor):
                if clock.monotonic() >= deadline:
                    raise Unavailable("another dg command refreshes the session and does not come to an end")
                await clock.sleep(_LOOK)
            yield
        finally:
            os.close(descriptor)

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise NoCredential(
                f"no session can be kept in {self.path.parent} ({error.strerror}): set DG_TOKEN"
            ) from None


class SignedIn:
    """The session that is kept somewhere: refreshed before its token ends, and when the server refuses it."""

    renewable = True

    def __init__(self, file: Keeping, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._kept: Kept | None = None

    async def token(self, refresh: Refresh) -> str:
        kept = self._kept or self._read()
        if self._is_due(kept):
            kept = await self._refreshed(refresh, kept.access_token)
        self._kept = kept
        return kept.access_token

    async def renew(self, refused: str, refresh: Refresh) -> None:
        self._kept = await self._refreshed(refresh, refused)

    async def _refreshed(self, refresh: Refresh, old: str) -> Kept:
        """What another process has fetched meanwhile, or the next tokens."""
        async with self._file.lock(self._clock):
            kept = self._read()
            if kept.access_token != old and not self._is_due(kept):
                return kept
            return await _to_its_end(self._fetch(kept, refresh))

    async def _fetch(self, kept: Kept, refresh: Refresh) -> Kept:
        now = self._clock.micros()
        try:
            tokens = await refresh(kept.refresh_token)
        except Unauthenticated:
            raise NoCredential(
                f"your session at {kept.url} is over or was revoked: sign in again with `dg login`",
                reason="session_over",
            ) from None
        return self._file.write(tokens, now)

    def _read(self) -> Kept:
        kept = self._file.read()
        if kept is None:
            raise NoCredential(f"you are not signed in at {self._file.url}: `dg login`, or set DG_TOKEN")
        return kept

    def _is_due(self, kept: Kept) -> bool:
        return self._clock.micros() >= kept.renew_at


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which goes on when its caller is cancelled: a refresh whose answer is not kept
    would end the session."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
