"""Looks up what the daily digest of a channel tells; `Drawing` has it drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dg.bot.messages.deployments import STOPPED, waits_for_approval
from dg.bot.messages.digest import Day
from dg.core.access.models import SYSTEM
from dg.core.app import Core
from dg.core.deployments.figures import DoraFigures
from dg.core.deployments.models import Deployment
from dg.core.drift.models import DriftStatus, ServiceDrift
from dg.core.errors import Unavailable
from dg.core.health.models import EnvironmentHealth
from dg.core.slack.routing import Routes
from dg.core.types import Environment

_MOST_WAITING = 50
_MOST_FAILED = 50


class Digests:
    """What is so, for the lanes whose digest goes to one channel."""

    def __init__(self, core: Core, routes: Routes, url: Callable[[Deployment], str | None]) -> None:
        self._core = core
        self._routes = routes
        self._url = url

    async def day(self, channel: str, since: int, until: int) -> Day:
        """What happened between two moments (microseconds), and how things are."""

        def told(environment: str, service: str) -> bool:
            return self._routes.in_digest(channel, environment, service)

        core = self._core
        outcomes = await core.figures.outcomes(SYSTEM, since, until)
        lanes = await core.lanes.list(SYSTEM)
        return Day(
            since,
            until,
            [each for each in outcomes if told(each.environment, each.service)],
            [each for each in await self._failed(since, until) if told(each.environment, each.service)],
            [each for each in await self._waiting() if told(each.environment, each.service)],
            [lane for lane in lanes if lane.state.closed and told(lane.environment, lane.service)],
            [each for each in await self._drifted() if told(each.environment, each.service)],
            await self._health(told),
            await self._delivery(channel),
            self._url,
        )

    async def _failed(self, since: int, until: int) -> Sequence[Deployment]:
        found = await self._core.deployments.list(
            SYSTEM, filter="status=failed,rolled_back", limit=_MOST_FAILED
        )
        return [
            each
            for each in found.items
            if each.reason not in STOPPED and each.completed_at and since < each.completed_at <= until
        ]

    async def _waiting(self) -> Sequence[Deployment]:
        found = await self._core.deployments.list(SYSTEM, status="pending", limit=_MOST_WAITING)
        whole = [await self._core.deployments.get(SYSTEM, each.id) for each in found.items]
        return [each for each in whole if waits_for_approval(each)]

    async def _drifted(self) -> list[ServiceDrift]:
        found = [each for name in Environment for each in await self._core.drift.list(SYSTEM, name)]
        return [each for each in found if each.status is DriftStatus.DRIFTED]

    async def _health(self, told: Callable[[str, str], bool]) -> list[EnvironmentHealth]:
        found = [await self._core.health.health(SYSTEM, name) for name in reversed(Environment)]
        return [
            each.model_copy(
                update={"services": tuple(one for one in each.services if told(each.name, one.name))}
            )
            for each in found
        ]

    async def _delivery(self, channel: str) -> DoraFigures | None:
        """Production's figures, where all of its services are told of here."""
        if not self._routes.in_digest(channel, Environment.PRODUCTION, ""):
            return None
        try:
            return await self._core.figures.dora(SYSTEM)
        except Unavailable:
            # Without a repository's history there are no figures, and a digest all the same.
            return None
