"""A server's way to be the active one: at once, or after the one that is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import psycopg

from dg.core.clock import Clock
from dg.core.database.address import Address
from dg.core.database.claim import Claim, active
from dg.core.database.session import Session, unreachable
from dg.core.database.transactions import Waits
from dg.core.errors import Refused

log = logging.getLogger(__name__)

T = TypeVar("T")

_LOOK = 0.5
"""Seconds between two looks whether the active server is gone."""
_PATIENCE = 1.0
"""Seconds that giving the right to write back may take; it ends with the session anyway."""


@asynccontextmanager
async def claim_database(
    address: Address, claim: Claim, *, clock: Clock, timeout: float, waits: Waits | None = None
) -> AsyncIterator[Session]:
    """The writing session, with the right to write: waits for it while another server is active.

    Without `waits`, Refused is raised at once instead, as for a database that cannot be reached, or whose
    active server has other keys.
    """
    session = Session(address, timeout)
    candidate = _Candidate(session, claim, waits)
    try:
        while not await candidate.try_once():
            await clock.sleep(_LOOK)
        yield session
    finally:
        await _give_back(session, claim)


class _Candidate:
    def __init__(self, session: Session, claim: Claim, waits: Waits | None) -> None:
        self._session = session
        self._claim = claim
        self._waits = waits
        self._told = False

    async def try_once(self) -> bool:
        try:
            return await self._try()
        except psycopg.Error as error:
            if not self._told:
                raise unreachable(self._session.address, error) from None
            log.warning("the database cannot be asked who is active: %s", " ".join(str(error).split()))
            return False

    async def _try(self) -> bool:
        connection = await in_thread(self._session.open)
        if await in_thread(self._claim.take, connection):
            return True
        holder = await in_thread(active, connection)
        if self._claim.is_own(holder):
            # The database has not noticed yet that the process before this one is gone.
            await in_thread(self._claim.evict, connection)
            return False
        if self._waits is None:
            at = f" ({holder['host']}:{holder['path']})" if holder else ""
            raise Refused(
                f"another dg server is active on the {self._session.address}{at}; "
                "talk to it with --url, or stop it first",
                reason="database_locked",
            )
        self._claim.check(holder)
        if not self._told:
            self._told = True
            self._waits(holder or {})
        return False


async def _give_back(session: Session, claim: Claim) -> None:
    if not session.lost:
        cut = asyncio.get_running_loop().call_later(_PATIENCE, session.cut)
        with suppress(psycopg.Error):
            await in_thread(claim.release, session.kept())
        cut.cancel()
    session.close()


async def in_thread(fn: Callable[..., T], *args: Any) -> T:
    """Run `fn(*args)` in a thread, and let it end there even when the caller is cancelled."""
    future = asyncio.get_running_loop().run_in_executor(None, fn, *args)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise
