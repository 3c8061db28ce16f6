"""A team at work: a real core that deploys, the bot, and a Slack over real sockets, by either transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.core.deployments import world as worlds
from tests.core.deployments.world import ADMIN, open_world, step

from dg.api.app import create_app
from dg.api.server import listen
from dg.bot.app import Bot, open_bot
from dg.bot.manifest import events, scopes
from dg.core.access.accounts import Account
from dg.core.access.models import Principal, Role
from dg.core.clock import SystemClock
from dg.core.deployments.models import Deployment
from dg.settings.server import Server
from dg.settings.slack import Slack
from dg.slacksim.messages import Message
from dg.slacksim.sim import SlackSim
from dg.slacksim.world import App, World, identifier, sample

Transport = Literal["socket", "http"]

TOKENS = {"SLACK_BOT": "bot_token", "SLACK_APP": "app_token", "SLACK_SECRET": "signing_secret"}
PEOPLE = {"ana": Role.OPERATOR, "ben": Role.APPROVER, "cleo": Role.VIEWER}
DEPLOYS = identifier("C", "deploys")
STAGING = identifier("C", "staging")

GOOD = (
    step("build", "build", "echo building"),
    step("rollout", "deploy", "echo rolling out $DG_VERSION"),
    step("smoke", "verify", "test $DG_VERSION != v2"),
)
"""Everything is well but with v2."""


@dataclass
class Office:
    """Who works here: people of Slack and, once they are linked, of dg."""

    world: worlds.World
    slack: SlackSim
    bot: Bot
    people: dict[str, Principal] = field(default_factory=dict)

    async def hire(self, name: str, role: Role) -> Principal:
        """Somebody who is signed in to dg, and not linked."""
        core = self.world.core
        issued = await core.tokens.create(ADMIN, name=f"{name}'s", role=role, kind="person", person=name)
        self.people[name] = await core.access.authenticate(issued.secret)
        return self.people[name]

    async def link(self, name: str) -> None:
        """Say in dg that the account of that name is theirs."""
        accounts = self.world.core.accounts
        code = await accounts.ask(self.account(name), name)
        await accounts.link(self.people[name], code)

    def account(self, name: str) -> Account:
        person = self.slack.parts.slack.person(name)
        return Account(person.team, person.id)

    async def say(self, name: str, line: str, channel: str = "deploys") -> str:
        """Type `/dg line`; what came back to them alone."""
        before = len(self.slack.ephemerals(name))
        assert (await self.slack.post_command(name, line, channel)).ok
        found = await self.slack.until(lambda: self.slack.ephemerals(name)[before:])
        return words(found[-1])

    async def answered(self, name: str, before: int) -> str:
        """What somebody is told after a click."""
        return words((await self.slack.until(lambda: self.slack.ephemerals(name)[before:]))[-1])

    async def shown(self, holds: str, channel: str = "deploys") -> Message:
        """The newest message of a channel, once it holds these words."""

        def look() -> Message | None:
            return next((m for m in reversed(self.slack.messages(channel)) if holds in words(m)), None)

        try:
            return await self.slack.until(look, 20.0)
        except AssertionError:
            there = "\n".join(map(words, self.slack.messages(channel)))
            raise AssertionError(f"nobody said {holds!r} in #{channel}:\n{there}") from None

    async def modal(self, name: str, holds: str) -> str:
        """The modal that somebody sees, once it holds these words."""

        def look() -> str | None:
            view = self.slack.modal(name)
            text = str(view.content) if view else ""
            return text if holds in text else None

        return await self.slack.until(look)

    async def newest(self) -> Deployment:
        return (await self.world.core.deployments.list(ADMIN, limit=1)).items[0]

    async def deployments(self) -> Sequence[Deployment]:
        return (await self.world.core.deployments.list(ADMIN, limit=100)).items


def team(**settings: Any) -> World:
    """The people, and an app that may and hears no more than the manifest asks for."""
    needs = Slack(**settings)
    app = App(scopes=scopes(needs), events=events(needs), unfurl_domains=("dg.example.org",))
    return sample().model_copy(update={"app": app})


def words(message: Message) -> str:
    """All that a message says."""
    return " ".join([message.text, *map(str, message.blocks)])


def buttons(message: Message) -> set[str]:
    """The actions that a message offers."""
    return {
        str(element.get("action_id"))
        for block in message.blocks
        if block["type"] == "actions"
        for element in block["elements"]
    }


@asynccontextmanager
async def open_office(
    path: Path,
    transport: Transport = "socket",
    *,
    linked: bool = True,
    approvals: int = 1,
    slack: SlackSim | None = None,
    ready: bool = True,
    **settings: Any,
) -> AsyncIterator[Office]:
    """The team with the shop `web`; production takes so many approvals. `ready` waits for Slack."""
    async with AsyncExitStack() as stack:
        sim = slack if slack is not None else await stack.enter_async_context(SlackSim(team(**settings)))
        variables = {name: getattr(sim, attribute) for name, attribute in TOKENS.items()}
        section = {
            "mode": transport,
            "api_url": sim.api_url,
            "bot_token_env": "SLACK_BOT",
            "app_token_env": "SLACK_APP",
            "signing_secret_env": "SLACK_SECRET",
            "routes": {
                "staging": {"channel": STAGING, "environments": ["staging"], "post": "on_failure"},
                "rest": {"channel": DEPLOYS, "post": "always"},
            },
            **settings,
        }
        protection = {"production": {"protected": True}}
        if approvals:
            protection["production"] |= {"approvals": {"count": approvals}}  # type: ignore[dict-item]
        world = await stack.enter_async_context(
            open_world(
                path,
                environ=variables,
                clock=SystemClock(),
                slack=section,
                environments=protection,
                server={"public_url": "https://dg.example.org"},
            )
        )
        bot = await stack.enter_async_context(open_bot(world.core, world.settings, variables))
        if transport == "http":
            app = create_app(world.core, world.settings)
            server = await stack.enter_async_context(listen(bot.around(app), Server(port=0)))
            sim.deliver_to(f"{server.url}/slack/events")
            stack.callback(app.stop)
        office = Office(world, sim, bot)
        await world.register(*GOOD)
        for name, role in PEOPLE.items():
            await office.hire(name, role)
            if linked:
                await office.link(name)
        if ready:
            await sim.until(_ready(bot))
        yield office
        await world.stop()


def _ready(bot: Bot) -> Callable[[], bool]:
    return lambda: bot.state() == "ok"
