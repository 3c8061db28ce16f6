"""Who and what is there when the simulator starts, declared in TOML, JSON or Python."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

SCOPES = (
    "app_mentions:read",
    "channels:history",
    "channels:read",
    "chat:write",
    "commands",
    "files:write",
    "groups:history",
    "groups:read",
    "im:history",
    "im:write",
    "links:read",
    "links:write",
    "metadata.message:read",
    "reactions:write",
    "usergroups:read",
    "users:read",
    "users:read.email",
)
"""What the declared app was granted, unless its world says otherwise."""

EVENTS = (
    "app_home_opened",
    "app_mention",
    "app_uninstalled",
    "channel_archive",
    "channel_rename",
    "link_shared",
    "tokens_revoked",
    "user_change",
)
MOST_BYTES = 1_000_000
"""Of a world's file."""

MOST = 1_000
"""People, channels or groups of one world."""

Handle = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,79}$")]
Id = Annotated[str, StringConstraints(pattern=r"^([A-Z0-9]{2,64})?$")]
Words = Annotated[str, StringConstraints(max_length=250)]


class WorldError(ValueError):
    """The declaration is wrong; the message names the place."""


class Declared(BaseModel):
    """A part of the declaration: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


P = TypeVar("P", bound=Declared)


def identifier(letter: str, name: str) -> str:
    """The id of a declared thing without one: its name in Slack's alphabet."""
    return letter + re.sub(r"[^A-Z0-9]", "", name.upper())


def _zone(name: str) -> str:
    """A time zone that exists."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError):
        raise ValueError(f"{name} is no time zone") from None
    return name


class Team(Declared):
    """A workspace: the home of the app, or one that shares channels with it."""

    id: Id = "T0HOME"
    name: Words = "Shop"
    domain: Handle = "shop"


class Person(Declared):
    """Somebody with an account."""

    name: Handle
    id: Id = ""
    real_name: Words = ""
    email: Words = ""
    team: Id = ""
    """Id of another team: a stranger, who is here by a shared channel."""

    guest: bool = False
    admin: bool = False
    bot: bool = False
    deleted: bool = False
    tz: Annotated[str, AfterValidator(_zone)] = "Etc/UTC"

    @model_validator(mode="after")
    def _named(self) -> Self:
        return _filled(self, id=identifier("U", self.name), real_name=self.name.title())


class Channel(Declared):
    name: Handle
    id: Id = ""
    private: bool = False
    archived: bool = False
    shared: bool = False
    """With another team: only there can a stranger be a member."""

    topic: Words = ""
    members: tuple[Handle, ...] | None = None
    """Names of people; everybody of the home team who is no guest, when not given."""

    app: bool = True
    """Whether the app was invited."""

    @model_validator(mode="after")
    def _named(self) -> Self:
        return _filled(self, id=identifier("C", self.name))


class Group(Declared):
    """A user group, mentioned by its handle."""

    handle: Handle
    id: Id = ""
    name: Words = ""
    members: tuple[Handle, ...] = ()

    @model_validator(mode="after")
    def _named(self) -> Self:
        return _filled(self, id=identifier("S", self.handle), name=self.handle)


class Shortcut(Declared):
    callback_id: Words
    name: Words


class App(Declared):
    """The installed app, its secrets in this world and what its manifest says."""

    id: Id = "A0DG"
    name: Handle = "dg"
    user_id: Id = "U0DGBOT"
    bot_id: Id = "B0DG"
    bot_token: Words = Field(default="xoxb-slack-sim", repr=False)
    app_token: Words = Field(default="xapp-slack-sim", repr=False)
    signing_secret: Words = Field(default="slack-sim-signing-secret", repr=False)
    scopes: tuple[Words, ...] = SCOPES
    commands: tuple[Annotated[str, StringConstraints(pattern=r"^/[a-z0-9_-]{1,31}$")], ...] = ("/dg",)
    events: tuple[Words, ...] = EVENTS
    unfurl_domains: tuple[Words, ...] = ()
    shortcuts: tuple[Shortcut, ...] = ()
    home: bool = True
    should_escape: bool = True
    """Whether names in a command's text reach the app as ids."""

    transport: Literal["socket", "http"] = "socket"
    request_url: Annotated[str, StringConstraints(pattern=r"^(https?://\S+)?$", max_length=3000)] = ""
    """Where commands, interactions and events go with the transport `http`."""


class World(Declared):
    """Everything that is there at the beginning."""

    team: Team = Team()
    teams: Annotated[tuple[Team, ...], Field(max_length=MOST)] = ()
    """Other workspaces."""

    people: Annotated[tuple[Person, ...], Field(max_length=MOST)] = ()
    channels: Annotated[tuple[Channel, ...], Field(max_length=MOST)] = ()
    groups: Annotated[tuple[Group, ...], Field(max_length=MOST)] = ()
    app: App = App()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        people = [each.name for each in self.people]
        _unique("people", people)
        _unique("channels", [each.name for each in self.channels])
        _unique("groups", [each.handle for each in self.groups])
        teams = [each.id for each in (self.team, *self.teams)]
        _unique("ids", [*self._ids(), *teams])
        for person in self.people:
            _known("team", person.team, teams, person.name)
        for channel in self.channels:
            for member in channel.members or ():
                _known("member", member, people, channel.name)
        for group in self.groups:
            for member in group.members:
                _known("member", member, people, group.handle)
        return self

    def _ids(self) -> list[str]:
        parts: list[Person | Channel | Group] = [*self.people, *self.channels, *self.groups]
        return [*(each.id for each in parts), self.app.user_id, self.app.bot_id]


def _filled(part: P, **values: str) -> P:
    """Frozen for everybody else, filled in while it is made."""
    for name, value in values.items():
        if not getattr(part, name):
            object.__setattr__(part, name, value)
    return part


def _unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what}: {name} is there twice")
        seen.add(name)


def _known(what: str, name: str, names: Iterable[str], of: str) -> None:
    if name and name not in names:
        raise ValueError(f"{what} {name} of {of} is not in this world")


def load(path: Path) -> World:
    """The world that a file declares, JSON by its suffix and else TOML. Raises WorldError."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise WorldError(f"{path.name} is larger than {MOST_BYTES:,} bytes")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text.decode())
    except OSError as error:
        raise WorldError(f"{path.name} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise WorldError(f"{path.name}: {error}") from None
    try:
        return World.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "world"
        raise WorldError(f"{path.name}: {place}: {first['msg'].removeprefix('Value error, ')}") from None


def sample() -> World:
    """A small team with a stranger and a guest, the world of `dg slack-sim` without a file."""
    return World(
        teams=(Team(id="T0PARTNER", name="Partner", domain="partner"),),
        people=(
            Person(name="ana", email="ana@shop.example", admin=True),
            Person(name="ben", email="ben@shop.example"),
            Person(name="cleo", email="cleo@shop.example"),
            Person(name="gus", email="gus@guest.example", guest=True),
            Person(name="sam", email="sam@partner.example", team="T0PARTNER"),
        ),
        channels=(
            Channel(name="deploys", topic="What goes live, and who said so", members=("ana", "ben", "cleo")),
            Channel(name="incidents", topic="What is broken"),
            Channel(name="staging", members=("ana", "ben", "gus")),
            Channel(name="partner", shared=True, members=("ana", "sam")),
            Channel(name="board", private=True, members=("ana",), app=False),
        ),
        groups=(Group(handle="release-managers", name="Release managers", members=("ana", "ben")),),
    )
