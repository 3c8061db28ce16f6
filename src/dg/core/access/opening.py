"""Opens access to a home: what proves who one is, and what is made and taken back by whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dg.core.access import store
from dg.core.access.codes import Codes
from dg.core.access.issuer import LocalIssuer
from dg.core.access.keys import session_key
from dg.core.access.models import SYSTEM
from dg.core.access.pepper import open_pepper
from dg.core.access.rights import Directory
from dg.core.access.service import Access, Accounts, Bindings, Keys, Logins, Roles, Sessions, Tokens
from dg.core.bus import Bus
from dg.core.clock import Clock, Ids
from dg.core.database import Database, Tx
from dg.core.home import Home
from dg.core.tasks import Tasks
from dg.settings.access import Access as AccessSettings
from dg.settings.tree import Outbound as OutboundSettings

if TYPE_CHECKING:
    from dg.core.access.service.clerk import ClerkUsers


@dataclass(frozen=True)
class Entrance:
    """Access, and everything by which one gets it."""

    access: Access
    tokens: Tokens
    keys: Keys
    roles: Roles
    bindings: Bindings
    sessions: Sessions
    logins: Logins
    accounts: Accounts
    clerk: ClerkUsers | None

    def begin(self) -> None:
        """Get ready what takes a while; called when the server begins."""
        if self.clerk:
            self.clerk.begin()

    async def flush(self) -> None:
        """Record repeats of denied tries and when credentials were used: once a minute, and at the end."""
        await self.tokens.flush()
        await self.keys.flush()
        await self.access.flush()

    def signs(self) -> dict[str, Callable[[], str]]:
        """How that is with which others vouch for people: `ok`, or what is wrong in a few words."""
        return {"clerk_keys": self.clerk.state} if self.clerk else {}


async def open_access(
    db: Database,
    *,
    bus: Bus,
    clock: Clock,
    ids: Ids,
    tasks: Tasks,
    home: Home,
    settings: AccessSettings,
    outbound: OutboundSettings,
) -> Entrance:
    """Access to this home; makes its keys at the first start. Raises Refused for an exposed one."""
    fresh = ids.new()

    def settle(tx: Tx) -> str:
        store.set_name(tx, SYSTEM.id, SYSTEM.name, SYSTEM.kind)
        store.forget_seen(tx, settings.clerk.mapping, clock.micros())
        return store.home_id(tx, fresh)

    home_id = await db.write(settle)
    issuer = LocalIssuer(
        home.keys,
        settings.issuer or f"dg:{home_id}",
        clock=clock,
        leeway=settings.leeway,
        longest=max(settings.token_ttl_max, settings.owner_ttl),
    )
    codes = Codes(session_key(home.keys))
    directory = Directory(db, clock)
    bus.subscribe(directory.observe)
    access = Access(db, clock, tasks, directory)
    tokens = Tokens(db, clock, ids, access, issuer, settings)
    keys = Keys(db, clock, ids, access, open_pepper(home.keys), settings)
    sessions = Sessions(db, clock, ids, access, issuer, codes, settings)
    for authenticator in (keys, sessions, tokens):
        access.accept(authenticator)
        bus.subscribe(authenticator.observe)
    await keys.warn_of_lost()
    clerk = _clerk(db, settings, clock, tasks, outbound)
    if clerk:
        access.accept(clerk)
    return Entrance(
        access,
        tokens,
        keys,
        roles=Roles(db, clock, access),
        bindings=Bindings(db, clock, ids, access),
        sessions=sessions,
        logins=Logins(db, clock, ids, access, sessions, codes, settings.sessions),
        accounts=Accounts(db, clock, ids, access),
        clerk=clerk,
    )


def _clerk(
    db: Database, settings: AccessSettings, clock: Clock, tasks: Tasks, outbound: OutboundSettings
) -> ClerkUsers | None:
    if settings.clerk.issuer is None:
        return None
    # A start that needs no way out need not load one.
    from dg.core.access.service.clerk import open_clerk
    from dg.core.http import Outbound

    return open_clerk(db, settings, clock=clock, tasks=tasks, outbound=Outbound(outbound))
