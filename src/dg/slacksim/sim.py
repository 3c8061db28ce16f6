"""The simulator as tests use it: one object that acts as people and waits for what the app does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from dg.core.clock import Clock, SystemClock
from dg.slacksim.answers import Delivery
from dg.slacksim.app import Options, Parts, serve
from dg.slacksim.choosing import Choice
from dg.slacksim.faults import Fault
from dg.slacksim.messages import Json, Message
from dg.slacksim.surfaces import View
from dg.slacksim.workspace import Call
from dg.slacksim.world import World, sample

BETWEEN_LOOKS = 0.02
T = TypeVar("T")


class SlackSim:
    """`async with SlackSim() as slack:` is a Slack on a free port of this machine.

    People, channels and messages are named by name or id. Acts raise Impossible where Slack would not let a
    person do it: there is no such button, a required field is empty, they are not in the channel.
    """

    def __init__(
        self, world: World | None = None, *, clock: Clock | None = None, options: Options | None = None
    ) -> None:
        self._world = world or sample()
        self._clock = clock or SystemClock()
        self._options = options or Options()
        self._stack = AsyncExitStack()
        self._parts: Parts | None = None

    async def __aenter__(self) -> Self:
        self._parts = await self._stack.enter_async_context(serve(self._world, self._clock, self._options))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    @property
    def parts(self) -> Parts:
        """Everything of which it is made; there while the block lasts."""
        if self._parts is None:
            raise RuntimeError("the simulator is open only inside its block")
        return self._parts

    @property
    def url(self) -> str:
        """Its address, which is also the page's."""
        return self.parts.slack.base_url

    @property
    def api_url(self) -> str:
        """What slack-sdk takes as `base_url`."""
        return f"{self.url}/api/"

    @property
    def bot_token(self) -> str:
        return self.parts.slack.app.bot_token

    @property
    def app_token(self) -> str:
        return self.parts.slack.app.app_token

    @property
    def signing_secret(self) -> str:
        return self.parts.slack.app.signing_secret

    def deliver_to(self, request_url: str) -> None:
        """Send everything to the app by signed HTTP from now on."""
        app = self.parts.slack.app
        self.parts.slack.app = app.model_copy(update={"transport": "http", "request_url": request_url})

    async def verify_url(self) -> bool:
        """Whether the request URL answers Slack's challenge."""
        return await self.parts.deliveries.verify_url()

    async def post_command(
        self, person: str, text: str = "", channel: str = "deploys", *, command: str = "/dg"
    ) -> Delivery:
        """Type a slash command; `ephemerals(person)` then has what came back."""
        return await self.parts.people.command(person, text, channel, command)

    async def say(
        self, person: str, text: str, channel: str = "deploys", thread_ts: str | None = None
    ) -> Message:
        """Write a message; the app hears of mentions and links that it subscribed to."""
        return await self.parts.people.say(person, text, channel, thread_ts)

    async def click(
        self,
        person: str,
        place: Message | View,
        action_id: str,
        choice: Choice = None,
        *,
        value: str | None = None,
    ) -> Delivery:
        """Press a button or choose in a select; `value` tells apart buttons of one action."""
        return await self.parts.people.click(person, place, action_id, choice, value=value)

    async def suggest(
        self, person: str, place: Message | View, action_id: str, typed: str = ""
    ) -> list[Json]:
        """The options that the app offers in an external select."""
        return await self.parts.people.suggest(person, place, action_id, typed)

    async def submit(
        self, person: str, values: Mapping[str, Choice | Mapping[str, Choice]] | None = None
    ) -> Delivery:
        """Submit the modal on top: by block what is entered, or by block and action."""
        return await self.parts.people.submit(person, None, values)

    async def close(self, person: str, *, all_: bool = False) -> Delivery | None:
        """Close the modal on top, or all of them."""
        return await self.parts.people.close(person, all_=all_)

    async def open_home(self, person: str) -> Delivery | None:
        """Look at the app's home."""
        return await self.parts.people.open_home(person)

    async def shortcut(self, person: str, callback_id: str) -> Delivery:
        """Choose a global shortcut."""
        return await self.parts.people.shortcut(person, callback_id)

    def messages(self, channel: str = "deploys", thread_ts: str | None = None) -> list[Message]:
        """What stands in a channel, or the replies in a thread; oldest first."""
        place = self.parts.slack.conversation(channel)
        if thread_ts:
            return place.replies(thread_ts)
        return [each for each in place.messages.values() if each.top_level]

    def message(self, ts: str, channel: str = "deploys") -> Message | None:
        """One message as it stands now, an ephemeral one too."""
        return self.parts.slack.conversation(channel).find(ts)

    def ephemerals(self, person: str, channel: str | None = None) -> list[Message]:
        """What only one person sees, oldest first."""
        slack = self.parts.slack
        user = slack.person(person)
        places = [slack.conversation(channel)] if channel else list(slack.conversations.values())
        found = [each for place in places for each in place.ephemerals.values() if each.only_for == user.id]
        return sorted(found, key=lambda each: each.ts)

    def direct(self, person: str) -> list[Message]:
        """The direct conversation of the app with somebody."""
        slack = self.parts.slack
        return list(slack.direct(slack.person(person)).messages.values())

    def modal(self, person: str) -> View | None:
        """The modal on top."""
        return self.parts.slack.views.top(self.parts.slack.person(person).id)

    def home(self, person: str) -> View | None:
        """The home that was published for somebody."""
        return self.parts.slack.views.home(self.parts.slack.person(person).id)

    def calls(self, method: str | None = None) -> list[Call]:
        """Calls of the Web API that were answered, oldest first."""
        return [each for each in self.parts.slack.calls if method in (None, each.method)]

    @property
    def mistakes(self) -> list[str]:
        """What the app answered that Slack could make nothing of."""
        return list(self.parts.people.mistakes)

    def fault(self, **fault: Any) -> None:
        """Add a fault to the script; the arguments are those of `Fault`."""
        self.parts.faults.add(Fault(**fault))

    def heal(self) -> None:
        """Let everything go well again."""
        self.parts.faults.clear()

    async def until(self, found: Callable[[], T | None], within: float = 10.0) -> T:
        """The first true value of `found`, in real time. Raises AssertionError when there is none in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while loop.time() < deadline:
            if value := found():
                return value
            await self._next_look()
        raise AssertionError(f"never true in {within} s: {found}")

    async def _next_look(self) -> None:
        # What is waited for may not be a change of Slack at all.
        with suppress(TimeoutError):
            await asyncio.wait_for(self.parts.slack.change(), BETWEEN_LOOKS)
