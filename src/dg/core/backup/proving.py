"""Proves a backup by restoring it where nobody is harmed; for `dg backup test` and the server's schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from dg.core.backup import databases, environment, reading
from dg.core.backup.encryption import Identity
from dg.core.backup.models import Proof
from dg.core.backup.restore import restore
from dg.core.backup.scratch import scratch
from dg.core.clock import Clock
from dg.core.home import Home


async def prove(
    source: Path,
    parent: Path,
    *,
    clock: Clock,
    environ: Mapping[str, str],
    identities: Sequence[Identity] = (),
) -> Proof:
    """Restore the backup into a scratch folder below `parent`, look at it, and remove it again.

    Raises as `restore` does, NotFound.
    """
    began = clock.monotonic()
    manifest = (await asyncio.to_thread(reading.verify, source, identities)).manifest
    repositories = 0
    async with scratch(parent) as folder:
        if manifest.environment is None:
            home = Home(folder / "home")
            await restore(source, home, clock=clock, environ=environ, identities=identities)
            await asyncio.to_thread(databases.check_ledger, home.state)
            repositories = len(list(home.mirrors.glob("*.git")))
        else:
            await asyncio.to_thread(_try_environment, source, identities, folder, clock)
    return Proof(manifest, repositories, clock.monotonic() - began)


def _try_environment(source: Path, identities: Sequence[Identity], folder: Path, clock: Clock) -> None:
    _, snapshot = environment.read_snapshot(source, identities)
    environment.try_out(snapshot, folder, clock)
