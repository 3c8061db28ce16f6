"""The workspace while it runs: accounts, conversations, views, and what the app may do in it."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from dg.core.clock import SECOND, Clock
from dg.slacksim.errors import Impossible, SlackError
from dg.slacksim.messages import Conversation, Message, Shelf
from dg.slacksim.passes import Passes
from dg.slacksim.surfaces import Views
from dg.slacksim.users import User, UserGroup
from dg.slacksim.world import Channel, World, identifier

MOST_MESSAGES = 10_000
MOST_MESSAGE_BYTES = 64_000_000
MOST_CALLS = 2_000
SLACKBOT = "USLACKBOT"

Standing = Literal["active", "token_revoked", "account_inactive"]


@dataclass(frozen=True)
class Call:
    """One call of the Web API that was answered; `outcome` is `ok`, Slack's error or what a fault did."""

    at: float
    method: str
    channel: str
    ts: str
    outcome: str
    applied: bool
    """Whether the method ran, whatever the caller saw."""


class Workspace:
    """All state. Plain functions change it; `changed` tells whoever watches."""

    def __init__(self, world: World, clock: Clock) -> None:
        self.world = world
        self.clock = clock
        self.app = world.app
        self.base_url = ""
        self.scopes = set(world.app.scopes)
        self.standing: Standing = "active"
        self.users = {each.id: each for each in _users(world, clock.micros() // SECOND)}
        self.groups = {each.id: each for each in self._declared_groups()}
        self.conversations = {each.id: each for each in map(self._declared_channel, world.channels)}
        self.passes = Passes(clock)
        owner = {"team_id": world.team.id, "app_id": world.app.id, "bot_id": world.app.bot_id}
        self.views = Views(self.new_id, {**owner, "app_installed_team_id": world.team.id})
        self.calls: deque[Call] = deque(maxlen=MOST_CALLS)
        self.counts: Counter[tuple[str, str]] = Counter()
        """Calls by method and outcome since the start."""

        self.known_methods: frozenset[str] = frozenset()
        """Those that are counted: names come from outside."""

        self.revision = 0
        self._shelf = Shelf(MOST_MESSAGES, MOST_MESSAGE_BYTES)
        self._numbers = itertools.count(1)
        self._last_ts = 0
        self._change = asyncio.Event()

    def _declared_groups(self) -> Iterator[UserGroup]:
        for group in self.world.groups:
            members = [self.person(name).id for name in group.members]
            yield UserGroup(group.id, group.handle, group.name, members, self.world.team.id)

    def _declared_channel(self, channel: Channel) -> Conversation:
        everybody = (
            each.name for each in self.world.people if not each.guest and not each.team and not each.deleted
        )
        names = everybody if channel.members is None else channel.members
        members = {self.person(name).id for name in names}
        if channel.app:
            members.add(self.app.user_id)
        return Conversation(
            channel.id,
            channel.name,
            "private" if channel.private else "public",
            members,
            self.now(),
            channel.archived,
            channel.shared,
            channel.topic,
        )

    def now(self) -> int:
        """Seconds since the epoch."""
        return self.clock.micros() // SECOND

    def next_ts(self) -> str:
        """A message's timestamp, which is also its name: later than every one before."""
        self._last_ts = max(self.clock.micros(), self._last_ts + 1)
        return f"{self._last_ts // SECOND}.{self._last_ts % SECOND:06d}"

    def new_id(self) -> str:
        """A short id in Slack's alphabet."""
        return f"{next(self._numbers):06X}"

    def changed(self) -> None:
        """Something is to be seen that was not there before."""
        self.revision += 1
        self._change.set()
        self._change = asyncio.Event()

    async def change(self) -> None:
        """Wait for the next change."""
        await self._change.wait()

    def person(self, name: str) -> User:
        """Somebody by name or id. Raises Impossible."""
        found = self.users.get(name) or next(
            (each for each in self.users.values() if each.name == name), None
        )
        if found is None:
            raise Impossible(f"nobody is called {name}")
        return found

    def group(self, name: str) -> UserGroup:
        """A user group by handle or id. Raises Impossible."""
        found = self.group_named(name)
        if found is None:
            raise Impossible(f"no user group is called {name}")
        return found

    def group_named(self, name: str) -> UserGroup | None:
        return next((each for each in self.groups.values() if name in (each.id, each.handle)), None)

    def conversation(self, name: str) -> Conversation:
        """A conversation by name or id. Raises Impossible."""
        found = self.named(name)
        if found is None:
            raise Impossible(f"no channel is called {name}")
        return found

    def named(self, name: str) -> Conversation | None:
        """A conversation by id, or by a channel's name with or without `#`."""
        if name in self.conversations:
            return self.conversations[name]
        bare = name.removeprefix("#")
        return next(
            (each for each in self.conversations.values() if each.name == bare and each.kind != "im"), None
        )

    def direct(self, user: User) -> Conversation:
        """The direct conversation of the app with somebody, which begins when it is asked for."""
        id_ = identifier("D", user.id[1:])
        if id_ not in self.conversations:
            members = {user.id, self.app.user_id}
            self.conversations[id_] = Conversation(id_, user.name, "im", members, self.now())
        return self.conversations[id_]

    def keep(self, message: Message) -> Message:
        """Keep a message that is new or was changed, and let it be seen."""
        self._shelf.put(self.conversations[message.channel], message)
        self.changed()
        return message

    def remove(self, message: Message) -> None:
        self._shelf.drop(self.conversations[message.channel], message.ts)
        self.changed()

    def tell(self, user: User, channel: Conversation, text: str) -> Message:
        """A line that Slack itself shows one person."""
        told = Message(self.next_ts(), channel.id, SLACKBOT, text, only_for=user.id)
        return self.keep(told)

    def member(self, channel: Conversation, user: User) -> None:
        """Raises Impossible when somebody is not where they want to act."""
        if user.id not in channel.members:
            raise Impossible(f"{user.name} is not in {channel.name}")

    def note(self, method: str, arguments: dict[str, Any], outcome: str, *, applied: bool) -> None:
        """Keep what became of a call."""
        channel, ts = (str(arguments.get(name) or "")[:64] for name in ("channel", "ts"))
        self.calls.append(Call(self.clock.monotonic(), method[:64], channel, ts, outcome, applied))
        if method in self.known_methods:
            self.counts[method, outcome] += 1

    def check_scope(self, *needed: str) -> None:
        """Raises SlackError unless the app has one of the scopes."""
        if needed and not self.scopes.intersection(needed):
            raise SlackError("missing_scope", needed=",".join(needed), provided=",".join(sorted(self.scopes)))


def _users(world: World, now: int) -> Iterator[User]:
    for each in world.people:
        yield User(
            each.id,
            each.name,
            each.real_name,
            each.team or world.team.id,
            each.email,
            stranger=each.team not in ("", world.team.id),
            guest=each.guest,
            admin=each.admin,
            bot=each.bot,
            deleted=each.deleted,
            tz=each.tz,
            updated=now,
        )
    app = world.app
    yield User(app.user_id, app.name, app.name, world.team.id, bot=True, updated=now)
