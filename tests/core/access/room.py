"""What the tests of access stand on: an open home with the service over it."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dg.core import ledger
from dg.core.access.issuer import LocalIssuer
from dg.core.access.opening import Entrance, open_access
from dg.core.access.service import Access, Bindings, Keys, Logins, Roles, Sessions, Tokens
from dg.core.home import write_private
from dg.core.ledger import Entry
from dg.core.testing import Ground, ManualClock
from dg.settings.access import Access as AccessSettings
from dg.settings.tree import Outbound as OutboundSettings


@dataclass(frozen=True)
class Room:
    """Access and what it stands on."""

    ground: Ground
    clock: ManualClock
    access: Access
    tokens: Tokens
    keys: Keys
    roles: Roles
    bindings: Bindings
    sessions: Sessions
    logins: Logins
    entrance: Entrance
    settings: AccessSettings

    async def facts(self, type_: str) -> list[Entry]:
        """The ledger's entries of one type."""
        entries = await self.ground.db.read(lambda tx: ledger.after(tx, 0, 1000))
        return [entry for entry in entries if entry.type == type_]


@functools.cache
def signing_key() -> str:
    """One signing key for the whole run: making one takes longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        LocalIssuer(Path(folder), "any", clock=ManualClock(), leeway=0, longest=1)
        return (Path(folder) / "issuer.pem").read_text()


async def access_to(ground: Ground, settings: AccessSettings | None = None) -> Access:
    """The one check, opened as a server's start does."""
    return (await entrance_to(ground, settings)).access


async def entrance_to(ground: Ground, settings: AccessSettings | None = None) -> Entrance:
    """Open access as a server's start does."""
    write_private(ground.home.keys / "issuer.pem", signing_key())
    return await open_access(
        ground.db,
        bus=ground.bus,
        clock=ground.clock,
        ids=ground.ids,
        tasks=ground.tasks,
        home=ground.home,
        settings=settings or AccessSettings(),
        outbound=OutboundSettings(allow=("127.0.0.1",)),
    )


async def enter(ground: Ground, clock: ManualClock, settings: AccessSettings) -> Room:
    """Open access over a ground that has this clock."""
    entrance = await entrance_to(ground, settings)
    return Room(
        ground,
        clock,
        entrance.access,
        entrance.tokens,
        entrance.keys,
        entrance.roles,
        entrance.bindings,
        entrance.sessions,
        entrance.logins,
        entrance,
        settings,
    )
