"""A line that would change something, as the `Act` that a key leads to: it is confirmed in the same way."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dg.core.errors import NotFound
from dg.core.grammar import Command, lasting
from dg.core.grammar import commands as c
from dg.tui.actions import Act
from dg.tui.deployments import deciding, deploying, lanes
from dg.tui.views import DeploymentView, LaneView

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.types import Environment
    from dg.tui.feed import Feed
    from dg.tui.store import Store


class Asking:
    """Turns commands into acts; what they name is looked for in the store, then at the server."""

    def __init__(self, store: Store, feed: Feed) -> None:
        self._store, self._feed = store, feed

    async def act(self, command: Command) -> Act:
        """What the command would do. Raises NotFound for what it names, TypeError for one that only looks."""
        match command:
            case c.Deploy(service, ref, environment, version, note):
                return deploying.deploy(
                    service, environment.value, ref, version=version or "", note=note or ""
                )
            case c.Rollback(service, environment, target, reason):
                lane = self.lane(service, environment)
                found = await self._target(lane, target) if target else ""
                return deploying.roll_back(*lane.key, target=found, reason=reason or "")
            case c.Lock(service, environment, seconds, reason):
                return lanes.lock(self.lane(service, environment), lasting=lasting(seconds), reason=reason)
            case c.Unlock(service, environment, reason):
                return lanes.unlock(self.lane(service, environment), reason=reason or "")
            case c.Freeze(seconds, reason, service, environment):
                where = environment.value if environment else ""
                return lanes.freeze(where, service or "", lasting=lasting(seconds), reason=reason)
            case c.Thaw(freeze):
                return lanes.thaw(freeze or "")
            case c.Approve() | c.Reject() | c.Cancel() | c.Retry():
                return await self._on_one(command)
            case _:
                raise TypeError(f"{type(command).__name__} changes nothing")

    async def _on_one(self, command: c.Approve | c.Reject | c.Cancel | c.Retry) -> Act:
        found = await self.deployment(command.deployment)
        match command:
            case c.Approve(_, note):
                return deciding.approve(found, note or "")
            case c.Reject(_, reason):
                return deciding.reject(found, reason)
            case c.Cancel(_, why):
                return deciding.cancel(found, why or "")
            case c.Retry(_, step, note):
                return deciding.retry(found, step=step or "", note=note or "")

    def lane(self, service: str, environment: Environment) -> LaneView:
        """The lane of that name. Raises NotFound, naming the services that there are."""
        found = self._store.lanes.get((service, environment.value))
        if found is None:
            there = ", ".join(dict.fromkeys(name for name, _ in self._store.lanes)) or "none"
            raise NotFound(f"there is no lane {service}/{environment.value}; services: {there}")
        return found

    async def deployment(self, name: str) -> DeploymentView:
        """The deployment that people call `name`. Raises NotFound, Invalid, Unavailable."""
        known = sorted(self._store.deployments.values(), key=lambda each: -each.number)
        for each in known:
            if name in ("latest", str(each.number), each.id):
                return each

        async def ask(dg: Client) -> DeploymentView:
            return DeploymentView.of(await dg.deployments.get(await dg.deployments.named(name)))

        return await self._feed.call(ask)

    async def _target(self, lane: LaneView, name: str) -> str:
        """The id of what ran well in a lane, by what people call it or by its version. Raises NotFound."""
        name = name.removeprefix("#")
        quoted = re.sub(r'(["\\])', r"\\\1", name)
        by = f"number={name}" if re.fullmatch(r"[1-9][0-9]{0,17}", name) else f'version="{quoted}"'
        matching = f"service={lane.service} env={lane.environment} status=success {by}"
        found = await self._feed.call(lambda dg: dg.deployments.list(matching=matching, limit=1))
        if not found.items:
            raise NotFound(f"nothing that is called {name} ran well in {lane.service}/{lane.environment}")
        return found.items[0].id
