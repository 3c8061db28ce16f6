"""The four figures of delivery for callers: read from rows and git, counted by `deployments/figures`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from operator import attrgetter

from dg.core.access.models import Action, Principal
from dg.core.clock import SECOND
from dg.core.deployments import figures, filters, history
from dg.core.deployments.figures import Commit, DoraFigures, Happened, Outcome
from dg.core.deployments.models import Kind
from dg.core.deployments.parts import Parts
from dg.core.deployments.service import finding
from dg.core.errors import Invalid
from dg.core.remember import Remembered
from dg.core.types import Environment

MOST_DAYS = 366
_DAY = 86_400 * SECOND
_LANES = 500
"""Lanes of which is remembered what their deployments brought."""

Brought = dict[str, Collection[Commit] | None]


class Figures:
    """What can be asked about how a team delivers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._known: Remembered[Brought] = Remembered(_LANES)

    async def dora(
        self,
        principal: Principal,
        *,
        environment: Environment = Environment.PRODUCTION,
        service: str | None = None,
        days: int = 30,
        rows: bool = False,
    ) -> DoraFigures:
        """The four figures over the last `days` times 24 hours; `rows` adds what each was counted from.

        Of the services that the caller may see in this environment, or of one. Raises Invalid for `days` out
        of bounds, NotFound for an unknown service, Unavailable when git does not answer.
        """
        parts = self._parts
        parts.access.require_somewhere(principal, Action.DEPLOYMENT_READ)
        if not 1 <= days <= MOST_DAYS:
            raise Invalid(f"days: from 1 to {MOST_DAYS}, not {days}", field="days")
        if service is not None:
            service = await finding.service(parts, principal, service)
        until = parts.clock.micros()
        since = until - days * _DAY
        conditions = [
            *filters.exactly(service=service, environment=environment.value),
            filters.readable(principal),
        ]
        found = await parts.db.read(lambda tx: history.ended(tx, conditions, until))
        deploys = figures.within(found, since, until)
        counted = DoraFigures(
            since=since,
            until=until,
            environment=environment,
            service=service,
            frequency=figures.frequency(deploys, since, until),
            lead_time=figures.lead_time(deploys, await self._brought(found, {each.id for each in deploys})),
            change_failure=figures.change_failure(deploys),
            recovery=figures.recovery(found, since, until),
        )
        return counted if rows else counted.without_rows()

    async def outcomes(self, principal: Principal, since: int, until: int) -> tuple[Outcome, ...]:
        """What ended after `since` and by `until` (microseconds), counted, as far as the caller may see."""
        self._parts.access.require_somewhere(principal, Action.DEPLOYMENT_READ)
        found = await self._parts.db.read(lambda tx: history.outcomes(tx, since, until))
        return tuple(
            each for each in found if principal.may(Action.DEPLOYMENT_READ, each.environment, each.service)
        )

    async def _brought(self, found: Sequence[Happened], asked: Collection[str]) -> Brought:
        """The commits that each successful one of the `asked` deployments brought first to its lane."""
        brought: Brought = {}
        successes = (each for each in found if each.succeeded)
        for lane, each in groupby(sorted(successes, key=attrgetter("lane")), key=attrgetter("lane")):
            brought |= await self._brought_to(lane, tuple(each), asked)
        return brought

    async def _brought_to(
        self, lane: tuple[str, str], successes: Sequence[Happened], asked: Collection[str]
    ) -> Brought:
        # What the lane's first success brought is where the service stood when dg came to it.
        wanted = [
            at for at, each in enumerate(successes) if at and each.kind is Kind.DEPLOY and each.id in asked
        ]
        remembered = self._known.get(lane, dict)
        known = dict(remembered)
        new = next((at for at in wanted if successes[at].id not in known), len(successes))
        fresh = await self._ask_git(lane[0], successes[:new], successes[new:])
        brought = {
            successes[at].id: fresh[successes[at].id] if at >= new else known[successes[at].id]
            for at in wanted
        }
        remembered.clear()
        # What git does not know now it may know when the repository was fetched again.
        remembered.update({id_: commits for id_, commits in brought.items() if commits is not None})
        return brought

    async def _ask_git(self, service: str, before: Sequence[Happened], new: Sequence[Happened]) -> Brought:
        """The commits that each of `new` brought first after those `before`, which came in this order."""
        if not new:
            return {}
        seen = {each.commit for each in before}
        heads = dict.fromkeys(each.commit for each in new)
        commits = await self._parts.git.ancestry(service, tuple(heads), tuple(seen))
        graph = {commit.sha: commit for commit in commits}
        return {
            each.id: figures.first_brought(each.commit, graph, seen)
            if each.commit in graph or each.commit in seen
            else None
            for each in new
        }
