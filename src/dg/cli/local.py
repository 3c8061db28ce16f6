"""Work on this machine's home by its owner, without a server: a first token, an audit while it is down."""

from __future__ import annotations

import asyncio
import fcntl
import getpass
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dg.cli.options import Invocation

if TYPE_CHECKING:
    from dg.client.models import Verdict
    from dg.core import ledger
    from dg.core.access.models import Principal
    from dg.core.app import Core
    from dg.core.environments.models import EnvironmentState, Snapshot
    from dg.core.home import Home
    from dg.settings import Settings

T = TypeVar("T")


def owner_name() -> str:
    """The name of the account that runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def owner() -> Principal:
    """Whoever can read the home may do everything in it."""
    from dg.core.access.models import Grant, Principal, Role

    return Principal(id="local", name=owner_name(), method="local", grants=(Grant(role=Role.ADMIN),))


def is_unattended(invocation: Invocation) -> bool:
    """Whether the command means this machine's home, and no server holds it."""
    from dg.homes import default_home

    if invocation.url or (invocation.environ.get("DG_URL") and not invocation.home):
        return False
    return not _held(invocation.home or default_home(invocation.environ)[0])


def _held(home: Path) -> bool:
    try:
        descriptor = os.open(home / "server.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def with_core(invocation: Invocation, work: Callable[[Core], Awaitable[T]]) -> T:
    """The result of `work` on the home, which it holds meanwhile; nothing is deployed. Raises Refused."""
    from dg.core.app import open_core

    settings = invocation.settings().settings

    async def held() -> T:
        async with open_core(settings, passive=True) as core:
            return await work(core)

    return asyncio.run(held())


def put_back(
    invocation: Invocation,
    snapshot: Snapshot,
    backup: str,
    reason: str | None,
    agreed: Callable[[int, EnvironmentState], bool],
) -> tuple[int, EnvironmentState | None]:
    """Make an environment of a home what it was in a backup, if who is asked agrees to what changes.

    The version before, and the environment after; None where nobody agreed. Nothing stays of a home that was
    not there before and got no environment.
    """

    async def work(core: Core) -> tuple[int, EnvironmentState | None]:
        environments, me = core.environments, owner()
        before = (await environments.get(me, snapshot.environment)).version
        if not agreed(before, await environments.preview_put_back(me, snapshot)):
            return before, None
        return before, await environments.put_back(me, snapshot, backup, reason, before)

    with _undone(invocation.settings().settings) as undoing:
        before, after = with_core(invocation, work)
        if after is not None:
            undoing.pop_all()
    return before, after


@contextmanager
def _undone(settings: Settings) -> Iterator[ExitStack]:
    """Holds what takes away again what the block makes of a folder that was no home before."""
    from dg.core.home import Home

    home = Home(settings.home)
    before = {home.path, *home.path.rglob("*")} if home.path.exists() else set()
    with ExitStack() as undoing:
        # The keys of a database elsewhere are in the home, and it is of no use without them.
        if settings.database.in_home and not home.state.exists():
            undoing.callback(_take_away, home, before)
        yield undoing


def _take_away(home: Home, before: set[Path]) -> None:
    with home.lock():
        for path in sorted(home.path.rglob("*"), reverse=True):
            if path not in before:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        if home.path not in before:
            home.path.rmdir()


def verify(invocation: Invocation) -> Verdict:
    """Check the ledger of a home. Raises NotFound when there is none."""
    from dg.client.models import Verdict
    from dg.core.errors import NotFound
    from dg.core.home import Home

    settings = invocation.settings().settings
    if settings.database.in_home and not Home(settings.home).state.exists():
        raise NotFound(f"{settings.home} holds no record of anything; choose another home with --home")
    verdict, doubt = with_core(invocation, lambda core: _verify(invocation, core))
    found = Verdict.model_validate(asdict(verdict))
    return found.model_copy(update={"ok": False, "message": doubt}) if found.ok and doubt else found


async def _verify(invocation: Invocation, core: Core) -> tuple[ledger.Verdict, str | None]:
    """What the check found, and what does not fit what this machine saw of the ledger before."""
    from dg.client.ledger import WAY_OUT, misfit, read_memory, state_file
    from dg.core.sighting import Sighting

    verdict, now = await core.feed.verify(owner()), core.feed.sighting
    seen = read_memory(state_file(invocation.environ)).ledgers.get(now.ledger)
    if seen is None:
        return verdict, None
    entry = await core.feed.entry(seen.seq)
    problem = misfit(
        now, Sighting(now.ledger, seen.seq, seen.hash), (entry.seq, entry.hash) if entry else None, seen.at
    )
    return verdict, f"the ledger {problem}; {WAY_OUT}" if problem else None
