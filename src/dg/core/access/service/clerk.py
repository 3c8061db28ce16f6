"""Those whom a Clerk instance vouches for: who they are, and what of it is kept while they are away."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict

from dg.core.access import store
from dg.core.access.clerk import Clerk, Identity
from dg.core.access.issuer import refusal
from dg.core.access.jwks import Keys, PinnedKey, PublishedKeys
from dg.core.access.models import Origin, Principal
from dg.core.access.standing import CLERK
from dg.core.access.verified import Verified
from dg.core.clock import SECOND, Clock
from dg.core.database import Database, Tx
from dg.core.errors import Problem, Refused
from dg.core.http import Outbound
from dg.core.tasks import Tasks
from dg.settings.access import Access as AccessSettings
from dg.settings.clerk import Clerk as ClerkSettings

log = logging.getLogger(__name__)

_MOST = 4096
_PATIENCE = 2.0
"""Seconds for which somebody waits until it is noted who they are, where the database is stuck."""


class ClerkUsers:
    """The users of one Clerk instance. Made by `open_clerk`."""

    def __init__(self, db: Database, clock: Clock, keys: Keys, settings: AccessSettings) -> None:
        self._keys = keys
        self._db = db
        self._clock = clock
        self._clerk = Clerk(settings.clerk, keys, clock, settings.leeway)
        self._lasting = int(settings.clerk.rights_last * SECOND)
        self._mapping = settings.clerk.mapping
        self._verified: Verified[Identity] = Verified(clock, settings.verify_cache)
        self._generation = keys.generation
        self._noted: OrderedDict[tuple[str, str], tuple[object, int]] = OrderedDict()

    def begin(self) -> None:
        """Fetch the instance's keys before somebody waits for them."""
        self._keys.refresh()

    def state(self) -> str:
        """`ok`, or what is wrong with the instance's keys in a few words."""
        return self._keys.state

    def recognises(self, credential: str) -> bool:
        return credential.count(".") == 2

    async def principal(self, credential: str, origin: Origin) -> Principal:
        """Whose it is. Raises Unauthenticated, and Unavailable when no key can be had to tell."""
        if self._generation != self._keys.generation:
            self._verified.forget()
            self._generation = self._keys.generation
        identity = self._verified.recall(credential)
        if identity is None:
            identity = await self._clerk.verify(credential)
            generation = self._keys.generation
            await self._note(identity)
            # What was verified by keys that went meanwhile is not to be remembered.
            if generation == self._keys.generation:
                self._verified.keep(credential, identity)
        if self._clerk.is_over(identity):
            self._verified.forget(credential)
            raise refusal()
        return Principal(
            id=CLERK + identity.user,
            name=identity.name,
            method="clerk",
            grants=identity.grants,
            groups=identity.groups,
            impersonated_by=CLERK + identity.impersonator if identity.impersonator else None,
            origin=origin,
        )

    async def _note(self, identity: Identity) -> None:
        """Keep name and rights, by which approvals are judged later: when they are others, or half over."""
        key, said = (identity.user, identity.organization), (identity.name, identity.grants, identity.groups)
        now = self._clock.micros()
        noted, until = self._noted.get(key, (None, 0))
        if noted == said and until - now > self._lasting // 2:
            return
        until = now + self._lasting

        def work(tx: Tx) -> None:
            store.set_name(tx, CLERK + identity.user, identity.name, "person")
            store.note_seen(
                tx,
                CLERK + identity.user,
                identity.organization,
                identity.grants,
                identity.groups,
                mapping=self._mapping,
                until=until,
            )

        try:
            async with asyncio.timeout(_PATIENCE):
                await self._db.write(work)
        except (Problem, TimeoutError) as error:
            log.warning("who %s is could not be noted: %s", CLERK + identity.user, str(error) or "too slow")
            return
        self._noted[key] = (said, until)
        if len(self._noted) > _MOST:
            self._noted.popitem(last=False)


def open_clerk(
    db: Database, settings: AccessSettings, *, clock: Clock, tasks: Tasks, outbound: Outbound
) -> ClerkUsers:
    """The users of the settings' instance. Raises Refused, Invalid for a key or an address of no use."""
    return ClerkUsers(db, clock, _keys(settings.clerk, clock, tasks, outbound), settings)


def _keys(settings: ClerkSettings, clock: Clock, tasks: Tasks, outbound: Outbound) -> Keys:
    if settings.pem_file is not None:
        return PinnedKey(settings.pem_file)
    try:
        outbound.check(settings.keys_url)
    except Problem as problem:
        raise Refused(f"the keys of access.clerk: {problem.message}", reason=problem.reason) from None
    return PublishedKeys(settings.keys_url, outbound, clock, tasks)
