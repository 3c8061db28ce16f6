"""What a command, a click or a modal does: one action of the core by whoever asked, and the answer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dg.bot.client import SlackApi
from dg.bot.drawing import Drawing
from dg.bot.messages import answers, environments, health, modals
from dg.bot.messages.blocks import Block, Rendered
from dg.core.access.models import Action, Principal
from dg.core.app import Core
from dg.core.clock import SECOND
from dg.core.deployments.models import (
    ACTIVE,
    Approve,
    CreateDeployment,
    Deployment,
    LockLane,
    RequestRetry,
    RequestRollback,
    SetFreeze,
    Status,
)
from dg.core.errors import Invalid, NotFound, Problem, Refused
from dg.core.grammar import VERBS, Command, Misread, commands, offered, parse
from dg.core.idempotency import Once
from dg.core.slack.announcing import cannot_wait, is_told
from dg.core.slack.models import MuteChannel, SubscribeChannel
from dg.core.slack.routing import Routes
from dg.core.types import Environment

_LATEST = "latest"
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_DEPLOYMENT = r"/v1/deployments/([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})/?"
_CHANNEL = re.compile(r"[CG][A-Z0-9]{1,20}")
_MOST_LINKS = 5
_PREVIEW_WAIT = 1.5
"""Seconds for what a rollback would do: what opens a modal is good for three."""
_STATUSES = (Status.PENDING, *sorted(ACTIVE))


@dataclass(frozen=True)
class Asked:
    """One request: by whom, from which channel, and what makes it the same when it comes again.

    `trigger` opens a modal, for three seconds.
    """

    principal: Principal
    channel: str
    trigger: str
    key: str

    def once(self, what: str) -> Once:
        """What holds it to one effect."""
        return Once(f"slack:{self.key}"[:200], hashlib.sha256(what.encode()).hexdigest())


class Acting:
    """The actions of people in one workspace. Each gives what to answer, None where nothing is to be said."""

    def __init__(self, core: Core, api: SlackApi, team: str, drawing: Drawing, routes: Routes) -> None:
        self._core = core
        self._api = api
        self._team = team
        self._drawing = drawing
        self._routes = routes
        url = core.settings.server.public_url
        self._link = re.compile(re.escape(url.rstrip("/")) + _DEPLOYMENT) if url else None

    async def refused(self, asked: Asked, problem: Problem) -> Rendered:
        """Why it was not done, and who could do it."""
        action = problem.details.get("action")
        able: tuple[str, ...] = ()
        if isinstance(action, str) and action in set(Action):
            environment, service = problem.details.get("environment"), problem.details.get("service")
            able = await self._core.accounts.able(
                self._team,
                Action(action),
                str(environment) if environment else None,
                str(service) if service else None,
            )
        return answers.problem(problem.message, able)

    # --- commands

    async def command(self, asked: Asked, line: str) -> Rendered | None:
        """Do what a line says. Raises Problem, and SlackProblem where a modal cannot be opened."""
        found = parse(line)
        if isinstance(found, Misread):
            return answers.unclear(found)
        return await self._do(asked, found, line)

    async def _do(self, asked: Asked, command: Command, line: str) -> Rendered | None:
        who, core, once = asked.principal, self._core, asked.once(line)
        match command:
            case commands.Help(None):
                return answers.commands(offered(who.reaches))
            case commands.Help(name):
                return answers.command(next(verb for verb in VERBS if verb.name == name))
            case commands.Who():
                return answers.who(who)
            case commands.Status() | commands.Show() | commands.Why():
                return await self._look(who, command)
            case commands.Health(environment):
                return await self._health(who, environment)
            case commands.Env(environment):
                return environments.answer(await core.environments.get(who, environment))
            case commands.Deploy():
                return await self._deploy(asked, command, once)
            case commands.Rollback():
                await self._ask_to_roll_back(asked, command)
                return None
            case commands.Approve() | commands.Reject() | commands.Cancel() | commands.Retry():
                return await self._decide(who, command, once)
            case commands.Lock(service, environment, seconds, reason):
                lock = LockLane(reason=reason, until=self._until(seconds))
                await core.lanes.lock(who, service, environment, lock, once)
            case commands.Unlock(service, environment, why):
                await core.lanes.unlock(who, service, environment, why, once)
            case commands.Freeze(seconds, reason, service, environment):
                wish = SetFreeze(
                    reason=reason, until=self._until(seconds), service=service, environment=environment
                )
                await core.lanes.freeze(who, wish, once)
            case commands.Thaw(freeze):
                await core.lanes.thaw(who, freeze, once)
            case commands.Mute(seconds, channel, reason):
                where = _named(channel or asked.channel)
                wish_ = MuteChannel(channel=where, until=self._until(seconds), reason=reason)
                await core.channels.mute(who, wish_, once)
            case commands.Unmute(channel):
                await core.channels.unmute(who, _named(channel or asked.channel))
            case commands.Subscribe() | commands.Unsubscribe() | commands.Subscriptions():
                return await self._subscribe(asked, command, once)
        return answers.said(":white_check_mark: Done.")

    async def _subscribe(
        self,
        asked: Asked,
        command: commands.Subscribe | commands.Unsubscribe | commands.Subscriptions,
        once: Once,
    ) -> Rendered:
        who, core, where = asked.principal, self._core, _named(command.channel or asked.channel)
        match command:
            case commands.Subscribe(service, environment, severity):
                named = {"severity": severity} if severity else {}
                wish = SubscribeChannel.model_validate(
                    {"channel": where, "service": service, "environment": environment, **named}
                )
                await core.subscriptions.subscribe(who, wish, once)
            case commands.Unsubscribe(service, environment):
                await core.subscriptions.unsubscribe_from(who, where, environment, service, once)
        return await self._drawing.subscriptions(where, await core.subscriptions.list(who, where))

    def _until(self, seconds: float) -> int:
        return self._core.clock.micros() + int(seconds * SECOND)

    async def _look(
        self, who: Principal, command: commands.Status | commands.Show | commands.Why
    ) -> Rendered:
        core = self._core
        match command:
            case commands.Show(reference):
                return await self._drawing.deployment((await self.find(who, reference)).id)
            case commands.Why(service, environment):
                lane = await core.lanes.get(who, service, environment)
                return answers.why(lane, await core.lanes.queue(who, service, environment))
            case commands.Status(named, where):
                lanes = await core.lanes.list(who, service=named, environment=where)
                under_way = [
                    each
                    for status in _STATUSES
                    for each in (
                        await core.deployments.list(
                            who, service=named, environment=where, status=status, limit=10
                        )
                    ).items
                ]
                return answers.lanes(
                    [lane for lane in lanes if named or lane.current or lane.holder], under_way
                )

    async def _health(self, who: Principal, named: Environment | None) -> Rendered:
        if named:
            return health.answer([await self._core.health.health(who, named)])
        seen = [each for each in Environment if who.may(Action.ENVIRONMENT_READ, each)]
        found = [await self._core.health.health(who, each) for each in seen]
        return health.answer([each for each in found if each.services])

    async def _deploy(self, asked: Asked, wish: commands.Deploy, once: Once) -> Rendered | None:
        if wish.environment is Environment.PRODUCTION:
            self._core.access.require(
                asked.principal, Action.DEPLOYMENT_CREATE, wish.environment, wish.service
            )
            await self._open(asked, modals.deploy(wish, asked.channel))
            return None
        return await self.deploy(asked, wish, once)

    async def deploy(self, asked: Asked, wish: commands.Deploy, once: Once) -> Rendered:
        """Ask for a deployment. Raises Problem."""
        request = CreateDeployment(
            environment=wish.environment,
            service=wish.service,
            ref=wish.ref,
            version=wish.version,
            note=wish.note,
        )
        made = await self._core.deployments.create(asked.principal, request, once)
        return answers.done("Asked for", made, await self._told(made))

    async def _ask_to_roll_back(self, asked: Asked, wish: commands.Rollback) -> None:
        self._core.access.require(asked.principal, Action.DEPLOYMENT_ROLLBACK, wish.environment, wish.service)
        target = await self._target(asked.principal, wish)
        await self._show_rollback(asked, wish, target)

    async def _show_rollback(self, asked: Asked, wish: commands.Rollback, target: str | None) -> None:
        """Ask with what it would do, as far as that is found in time; what is agreed to is what was shown."""
        request = RequestRollback(target=target, reason=wish.reason)
        preview = None
        with contextlib.suppress(TimeoutError):  # the modal has to open
            async with asyncio.timeout(_PREVIEW_WAIT):
                preview = await self._core.deployments.preview_rollback(
                    asked.principal, wish.service, wish.environment, request
                )
        shown = target or (preview.target.id if preview and preview.target else None)
        await self._open(asked, modals.rollback(wish, shown, preview, asked.channel))

    async def roll_back(
        self, asked: Asked, service: str, environment: Environment, request: RequestRollback
    ) -> Rendered:
        """Put back what ran before. Raises Problem."""
        once = asked.once(f"rollback {service} {environment} {request.target}")
        made = await self._core.deployments.rollback_lane(
            asked.principal, service, environment, request, once
        )
        return answers.done(f"Rolling back to {made.version}:", made, await self._told(made))

    async def _decide(
        self,
        who: Principal,
        command: commands.Approve | commands.Reject | commands.Cancel | commands.Retry,
        once: Once,
    ) -> Rendered:
        told, core = await self.find(who, command.deployment), self._core
        match command:
            case commands.Approve(_, note):
                approve = Approve(content=told.content, note=note)
                return answers.done("Approved", await core.approvals.approve(who, told.id, approve, once))
            case commands.Reject(_, reason):
                return answers.done("Rejected", await core.approvals.reject(who, told.id, reason, once))
            case commands.Cancel(_, why):
                ended = await core.deployments.cancel(who, told.id, reason=why, once=once)
                return answers.done("Stopping" if ended.status in ACTIVE else "Cancelled", ended)
            case commands.Retry(_, from_step, note):
                request = RequestRetry(from_step=from_step, note=note)
                made = await core.recovery.retry(who, told.id, request, once)
                return answers.done("Retrying as", made, await self._told(made))

    # --- clicks

    async def approve(self, asked: Asked, deployment_id: str, content: str) -> Rendered | None:
        """Agree to what the message showed. Raises Problem."""
        request = Approve(content=content or None)
        await self._core.approvals.approve(
            asked.principal, deployment_id, request, asked.once(f"approve {deployment_id}")
        )
        return None

    async def cancel(self, asked: Asked, deployment_id: str, epoch: str) -> Rendered | None:
        """Stop it, unless it has begun another life since. Raises Problem."""
        if await self._is_older(asked, deployment_id, epoch):
            return answers.older()
        once = asked.once(f"cancel {deployment_id}")
        await self._core.deployments.cancel(asked.principal, deployment_id, once=once)
        return None

    async def retry(self, asked: Asked, deployment_id: str, epoch: str) -> Rendered | None:
        """Take it up again. Raises Problem."""
        if await self._is_older(asked, deployment_id, epoch):
            return answers.older()
        once = asked.once(f"retry {deployment_id}")
        made = await self._core.recovery.retry(asked.principal, deployment_id, RequestRetry(), once)
        return answers.done("Retrying as", made, await self._told(made))

    async def ask_to_reject(self, asked: Asked, deployment_id: str, epoch: str) -> Rendered | None:
        """Ask why. Raises Problem."""
        told = await self._core.deployments.get(asked.principal, deployment_id)
        if told.status is not Status.PENDING or str(told.epoch) != epoch:
            return answers.older()
        where = told.environment.value, told.service
        self._core.access.require(asked.principal, Action.DEPLOYMENT_REJECT, *where)
        await self._open(asked, modals.reject(told, asked.channel))
        return None

    async def reject(self, asked: Asked, deployment_id: str, reason: str) -> Rendered:
        """Say no. Raises Problem."""
        once = asked.once(f"reject {deployment_id}")
        ended = await self._core.approvals.reject(asked.principal, deployment_id, reason, once)
        return answers.done("Rejected", ended)

    async def ask_to_roll_back(self, asked: Asked, deployment_id: str, epoch: str) -> Rendered | None:
        """Ask why, and for the service's name. Raises Problem."""
        told = await self._core.deployments.get(asked.principal, deployment_id)
        if str(told.epoch) != epoch or await self._drawing.is_superseded(told):
            return answers.older()
        where = told.environment.value, told.service
        self._core.access.require(asked.principal, Action.DEPLOYMENT_ROLLBACK, *where)
        await self._show_rollback(asked, commands.Rollback(told.service, told.environment), None)
        return None

    async def unlock(self, asked: Asked, lane: str, since: str) -> Rendered | None:
        """Open a lane, if it is the same lock still. Raises Problem."""
        service, _, environment = lane.partition("/")
        found = await self._core.lanes.get(asked.principal, service, environment)
        if found.lock is None or str(found.lock.since) != since:
            return answers.older()
        once = asked.once(f"unlock {lane}")
        await self._core.lanes.unlock(asked.principal, service, environment, "in Slack", once)
        return None

    async def _is_older(self, asked: Asked, deployment_id: str, epoch: str) -> bool:
        told = await self._core.deployments.get(asked.principal, deployment_id)
        return str(told.epoch) != epoch

    # --- shared

    async def submitted(
        self, asked: Asked, callback: str, ids: Mapping[str, str], typed: Mapping[str, str]
    ) -> Rendered:
        """Do what a modal was for. Raises Problem."""
        reason = " ".join(typed.get(modals.REASON, "").split())[:500]
        if callback == modals.REJECT:
            return await self.reject(asked, ids["deployment"], reason)
        environment = Environment(ids["environment"])
        if callback == modals.ROLL_BACK:
            request = RequestRollback(target=ids.get("target"), reason=reason)
            return await self.roll_back(asked, ids["service"], environment, request)
        wish = commands.Deploy(ids["service"], ids["ref"], environment, ids.get("version"), reason)
        return await self.deploy(asked, wish, asked.once(f"deploy {sorted(ids.items())}"))

    async def find(self, who: Principal, reference: str) -> Deployment:
        """The deployment that people call so. Raises NotFound, and Invalid for what begins several ids."""
        if reference == _LATEST:
            matching = None
        else:
            matching = f"number={reference}" if not reference.startswith("0") else f"id={reference}"
        found = (await self._core.deployments.list(who, filter=matching, limit=2)).items
        if not found:
            raise NotFound(f"there is no deployment {reference} that you may see")
        if len(found) > 1 and matching and matching.startswith("id"):
            raise Invalid(f"several deployments begin with {reference}: give more of it")
        return await self._core.deployments.get(who, found[0].id)

    async def unfurl(self, who: Principal, urls: Sequence[str]) -> dict[str, Block]:
        """What links to deployments lead to, by the link, as far as `who` may see it; nothing to press."""
        found: dict[str, Block] = {}
        for url in urls[:_MOST_LINKS]:
            match = self._link.fullmatch(url) if self._link else None
            if match is None:
                continue
            with contextlib.suppress(NotFound):
                told = await self._core.deployments.get(who, match[1].lower())
                blocks = (await self._drawing.deployment(told.id, new=True)).blocks
                found[url] = {"blocks": [block for block in blocks if block["type"] != "actions"]}
        return found

    async def _target(self, who: Principal, wish: commands.Rollback) -> str | None:
        """The deployment that a rollback goes back to, by what people call it or by its version."""
        if wish.target is None:
            return None
        name = wish.target.removeprefix("#")
        quoted = re.sub(r'(["\\])', r"\\\1", name)
        by = f"number={name}" if _NUMBER.fullmatch(name) else f'version="{quoted}"'
        matching = f"{by} status=success"
        found = await self._core.deployments.list(
            who, filter=matching, service=wish.service, environment=wish.environment, limit=1
        )
        if not found.items:
            raise Refused(f"nothing that is called {name} ran well there", reason="no_target")
        return found.items[0].id

    async def _open(self, asked: Asked, view: Block) -> None:
        await self._api.call("views.open", trigger_id=asked.trigger, view=view)

    async def _told(self, made: Deployment) -> str | None:
        """The channel that gets a message of it now."""
        place = self._routes.place(made.environment.value, made.service)
        if place is None or not is_told(place.route, made):
            return None
        if cannot_wait(made):
            return place.channel
        quiet = await self._core.messenger.quiet_until(place.channel, self._core.clock.micros())
        return place.channel if quiet is None else None


def _named(channel: str) -> str:
    """The id of a channel that may be muted. Raises Invalid where one asks in a conversation of two."""
    if not _CHANNEL.fullmatch(channel):
        raise Invalid("say it in a channel, or name one: a conversation of two is told nothing")
    return channel
