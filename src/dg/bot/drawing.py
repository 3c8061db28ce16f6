"""Looks up what a message is to show, and has it drawn. Everything is read anew for each sending."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from dg.bot.digests import Digests
from dg.bot.messages import (
    deployments,
    digest,
    handover,
    health,
    lanes,
    mutes,
    subscriptions,
    summaries,
)
from dg.bot.messages.blocks import Rendered
from dg.bot.messages.deployments import Shown
from dg.bot.messages.summaries import Line
from dg.bot.messages.text import person
from dg.core.access.models import SYSTEM, Action, Principal
from dg.core.app import Core
from dg.core.deployments.gates import judge
from dg.core.deployments.models import FINAL, Changes, Deployment, Lane, Status
from dg.core.errors import NotFound, Problem
from dg.core.remember import Remembered
from dg.core.slack.models import SlackSubscription
from dg.core.slack.routing import Routes

_LAST_LINES = 60
_RANKS = {Status.FAILED: 0, Status.ROLLED_BACK: 0, Status.SUCCESS: 3}
"""What of deployments is read first in a summary."""


class Drawing:
    """What is so, for one workspace."""

    def __init__(self, core: Core, team: str, routes: Routes) -> None:
        self._core = core
        self._team = team
        self._routes = routes
        self._digests = Digests(core, routes, self.url)
        self._changes: Remembered[Changes] = Remembered(256)
        url = core.settings.server.public_url
        self._base = url.rstrip("/") if url else None

    async def draw(self, payload: Mapping[str, Any], *, new: bool) -> Rendered | None:
        """The message as it is to look now; `new` when it will be posted, which people are told of.

        None for what there is nothing to show of.
        """
        try:
            match payload["what"]:
                case "deployment":
                    return await self.deployment(payload["deployment"], new=new, channel=payload["channel"])
                case "log":
                    return await self._log(payload["deployment"])
                case "changes":
                    return await self._commits(payload["deployment"])
                case "lane":
                    return await self._lane(payload, new=new)
                case "freeze":
                    return await self._freeze(payload, new=new)
                case "health":
                    return await self._health(payload)
                case "mute":
                    return await self._mute(payload, new=new)
                case "summary":
                    return await self._summary(payload)
                case "digest":
                    return await self._digest(payload)
                case "handover":
                    return await self._handover(payload, new=new)
        except NotFound:
            return None
        return None

    async def deployment(
        self, deployment_id: str, *, new: bool = False, channel: str | None = None
    ) -> Rendered:
        """The message of one deployment; who is mentioned depends on the channel. Raises NotFound."""
        core = self._core
        told = await core.deployments.get(SYSTEM, deployment_id)
        progress = await core.deployments.status(SYSTEM, deployment_id)
        people = [told.created_by, *(each.by for each in told.approvals or ())]
        shown = Shown(
            progress.model_copy(update={"deployment": told}),
            lane=await core.lanes.get(SYSTEM, told.service, told.environment.value),
            changes=await self._changed(told),
            accounts=await self._accounts(people, new=new),
            mention=await self._mention(told, channel) if new else None,
            url=self.url(told),
            superseded=await self.is_superseded(told),
        )
        return deployments.deployment(shown)

    async def is_superseded(self, told: Deployment) -> bool:
        """Whether something else runs well where it ended: then there is nothing of it to roll back."""
        lane = await self._core.lanes.get(SYSTEM, told.service, told.environment.value)
        if told.status is Status.SUCCESS:
            return not deployments.is_current(told, lane)
        if told.status is not Status.FAILED or lane.current is None:
            return False
        return (await self._core.deployments.get(SYSTEM, lane.current)).number > told.number

    def url(self, told: Deployment) -> str | None:
        """Where it can be read, for who knows the server's address."""
        return f"{self._base}/v1/deployments/{told.id}" if self._base else None

    async def _accounts(self, people: list[str], *, new: bool) -> Mapping[str, str]:
        """Who they are in Slack. A new message only names them, for whom it mentions it calls."""
        return {} if new else await self._core.accounts.of(self._team, people)

    async def _changed(self, told: Deployment) -> Changes | None:
        """The commits, read once for each base; None where git does not know them."""
        base = told.base_sha
        if told.status in (Status.PENDING, Status.BUILDING):
            lane = await self._core.lanes.get(SYSTEM, told.service, told.environment.value)
            base = lane.current_sha
        if base is None:
            return None
        key = (told.service, base, told.commit_sha)
        if (known := self._changes.known(key)) is None:
            with contextlib.suppress(Problem):
                found = await self._core.deployments.changes(SYSTEM, told.id)
                return self._changes.get(key, lambda: found)
        return known

    async def _mention(self, told: Deployment, channel: str | None) -> str | None:
        """Who is called for an approval: those of the route, else who could give it.

        Nobody in a channel that only subscribed: they are called where the settings say so.
        """
        where = told.environment.value, told.service
        place = self._routes.place(*where)
        if place is None or place.channel != channel or not deployments.waits_for_approval(told):
            return None
        if place.route.mention:
            return f"<!subteam^{place.route.mention}>"
        rules = told.guard.approvals if told.guard else ()

        def counts(person: Principal) -> bool:
            return any(judge.counts(rule, person, told) for rule in rules)

        able = await self._core.accounts.able(self._team, Action.DEPLOYMENT_APPROVE, *where, counts)
        return " ".join(f"<@{user}>" for user in able) or None

    async def _log(self, deployment_id: str) -> Rendered | None:
        told = await self._core.deployments.get(SYSTEM, deployment_id)
        tail = await self._core.deployments.status(SYSTEM, deployment_id)
        if not tail.logs:
            return None
        return deployments.log_tail(told, tail.logs[-_LAST_LINES:])

    async def _commits(self, deployment_id: str) -> Rendered | None:
        told = await self._core.deployments.get(SYSTEM, deployment_id)
        if told.status in FINAL or not (changes := await self._changed(told)) or not changes.total:
            return None
        return deployments.commit_list(told, changes)

    async def _lane(self, payload: Mapping[str, Any], *, new: bool) -> Rendered:
        lane = await self._core.lanes.get(SYSTEM, payload["service"], payload["environment"])
        accounts = await self._accounts([payload["by"]], new=new)
        return lanes.lock(_locked(payload, lane), lane, accounts)

    async def _handover(self, payload: Mapping[str, Any], *, new: bool) -> Rendered:
        by = payload["by"]
        name = (await self._core.access.names([by]))[by]
        return handover.handover(payload["text"], person(by, name, await self._accounts([by], new=new)))

    async def _freeze(self, payload: Mapping[str, Any], *, new: bool) -> Rendered:
        accounts = await self._accounts([payload["by"]], new=new)
        return lanes.freeze(await self._frozen(payload), accounts)

    async def _frozen(self, payload: Mapping[str, Any]) -> lanes.Closed:
        fact, by = payload["set"], payload["by"]
        where = " in ".join(filter(None, (fact.get("service"), fact.get("environment")))) or "everything"
        over = payload["over"] or fact["until"] <= self._core.clock.micros()
        name = (await self._core.access.names([by]))[by]
        return lanes.Closed(where, fact["reason"], by, name, fact["until"], over)

    async def _mute(self, payload: Mapping[str, Any], *, new: bool) -> Rendered:
        by = payload["by"]
        accounts, names = await self._accounts([by], new=new), await self._core.access.names([by])
        who = person(by, names[by], accounts)
        return mutes.mute(who, payload["until"], payload.get("reason"), over=payload["over"])

    async def subscriptions(self, channel: str, found: Sequence[SlackSubscription]) -> Rendered:
        """What a channel is told beside the routes."""
        people = [each.by for each in found]
        names = await self._core.access.names(people)
        return subscriptions.answer(channel, found, {each: person(each, names[each], {}) for each in people})

    async def _health(self, payload: Mapping[str, Any]) -> Rendered:
        with contextlib.suppress(NotFound):
            if payload["deployment"]:
                told = await self._core.deployments.get(SYSTEM, payload["deployment"])
                lane = await self._core.lanes.get(SYSTEM, told.service, told.environment.value)
                return health.change(health.Shown(payload, told, lane, self.url(told)))
        return health.change(health.Shown(payload))

    async def _digest(self, payload: Mapping[str, Any]) -> Rendered | None:
        day = await self._digests.day(payload["channel"], payload["since"], payload["until"])
        return None if day.is_empty else digest.digest(day)

    async def _summary(self, payload: Mapping[str, Any]) -> Rendered:
        lines = []
        for each in payload["items"].values():
            with contextlib.suppress(NotFound):
                lines.append(await self._line(each))
        shown = summaries.Meanwhile(
            payload["why"], payload["since"], payload["until"], lines, payload["more"]
        )
        return summaries.meanwhile(shown)

    async def _line(self, about: Mapping[str, Any]) -> Line:
        """One thing of a summary. Raises NotFound."""
        match about["what"]:
            case "deployment":
                told = await self._core.deployments.get(SYSTEM, about["deployment"])
                return Line(_RANKS.get(told.status, 2), "deployment", deployments.line(told))
            case "health":
                return Line(3 if about["over"] else 0, "health change", health.line(about))
            case "lane":
                lane = await self._core.lanes.get(SYSTEM, about["service"], about["environment"])
                closed = _locked(about, lane)
                return Line(3 if closed.over else 1, "lock", lanes.line(closed, "locked", "unlocked"))
        closed = await self._frozen(about)
        return Line(3 if closed.over else 1, "freeze", lanes.line(closed, "frozen", "thawed"))


def _locked(payload: Mapping[str, Any], lane: Lane) -> lanes.Closed:
    """The lock of a fact, as its lane is now."""
    fact = payload["lock"]
    same = lane.lock and not lane.lock.automatic and lane.lock.until == fact["until"]
    return lanes.Closed(
        f"{lane.service} in {lane.environment.value}",
        fact["reason"],
        payload["by"],
        lane.lock.by if same and lane.lock else None,
        fact["until"],
        over=not same,
    )
