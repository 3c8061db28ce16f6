"""A core that starts nothing by itself, its rules moved by hand, and people with tokens of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.core.deployments.desk import Desk
from tests.core.deployments.world import ADMIN, DEPLOY, OPERATOR, World, open_world

from dg.core.access.models import Principal
from dg.core.deployments.gates import keeper
from dg.core.deployments.models import Approve, Deployment, Override, UpdateDeployment
from dg.core.ledger import Entry
from dg.core.testing import ManualClock

MINUTE = 60.0
HOUR = 60 * MINUTE


class Yard:
    """`web` and its lanes. Everybody whom `person` makes has a real token."""

    def __init__(self, world: World, clock: ManualClock) -> None:
        self.world = world
        self.clock = clock
        self._tokens: dict[str, str] = {}

    def desk(self, environment: str = "production") -> Desk:
        desk = Desk(self.world.db, self.clock)
        desk.lane = ("web", environment)
        return desk

    async def demand(self, text: str, *more: str) -> None:
        """Register a pipeline that demands `text` in production; `more` are whole tables."""
        tail = "\n".join(("[env.production]", text, *more))
        await self.world.core.pipelines.register(ADMIN, self.world.pipeline(DEPLOY, tail=tail))

    async def person(self, name: str, role: str = "approver", **more: Any) -> Principal:
        core = self.world.core
        issued = await core.tokens.create(ADMIN, name=name, role=role, **({"kind": "person"} | more))
        self._tokens[issued.token.id] = issued.secret
        return await core.access.authenticate(issued.secret)

    async def revoke(self, person: Principal) -> None:
        await self.world.core.tokens.revoke(ADMIN, person.id)

    async def ask(self, ref: str = "v1", environment: str = "production", **more: Any) -> Deployment:
        """Create a deployment, a second after whatever was before, and look at it."""
        self.clock.jump(1)
        return await self.look(await self.world.create(ref, environment, **more))

    async def look(self, deployment: Deployment) -> Deployment:
        return await self.world.core.deployments.get(ADMIN, deployment.id)

    async def approve(self, deployment: Deployment, by: Principal, **more: Any) -> Deployment:
        self.clock.jump(1)
        return await self.world.core.approvals.approve(by, deployment.id, Approve(**more))

    async def override(
        self, deployment: Deployment, by: Principal, *gates: str, reason: str = "the shop is down"
    ) -> Deployment:
        request = Override(gates=gates, reason=reason)
        return await self.world.core.approvals.override(by, deployment.id, request)

    async def change(self, deployment: Deployment, **changes: Any) -> Deployment:
        return await self.world.core.deployments.update(OPERATOR, deployment.id, UpdateDeployment(**changes))

    async def start(self, environment: str = "production") -> Deployment | None:
        return await self.desk(environment).start()

    async def succeed(self, ref: str, environment: str = "staging", **outputs: str) -> Deployment:
        """A whole deployment that goes well where nothing is demanded."""
        made = await self.ask(ref, environment)
        started = await self.start(environment)
        assert started is not None
        assert started.id == made.id
        return await self.desk(environment).end(started, outputs=outputs)

    async def entries(self, kind: str) -> list[Entry]:
        return await self.world.entries(kind)

    async def renew(self) -> None:
        """What a server does before it gives the first lane away."""
        parts = self.world.parts
        now = self.clock.micros()
        await self.world.db.write(lambda tx: keeper.renew(tx, parts.protection, now))


@asynccontextmanager
async def open_yard(path: Path, clock: ManualClock | None = None, **sections: Any) -> AsyncIterator[Yard]:
    """Open the yard below `path`; `sections` are settings. The same path again is the same home."""
    clock = clock or ManualClock()
    async with open_world(path, passive=True, clock=clock, **sections) as world:
        yield Yard(world, clock)


def closed(deployment: Deployment) -> list[str]:
    """The names of the gates that keep a deployment."""
    return [gate.name for gate in deployment.gates or () if not gate.open]
