"""What the story is played with, and how it is told: facts for whoever shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dg.client.app import Client
from dg.core.clock import Clock
from dg.sandbox.home import SandboxHome
from dg.sandbox.hosts import Hosts
from dg.sandbox.people import People
from dg.sandbox.repository import Repository


@dataclass(frozen=True)
class Fact:
    """One thing that happened: `at` seconds after the start, `where` an environment or a part of the sandbox.

    `name` is a stable word, `seconds` how long it took, `aside` what may be left out where there is no room.
    """

    name: str
    at: float
    text: str
    where: str = ""
    aside: str = ""
    seconds: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)


class Teller(Protocol):
    """Who shows the story."""

    def tell(self, fact: Fact) -> None: ...

    def busy(self, where: str, text: str, at: float) -> None:
        """What goes on while nothing is told; called several times a second."""
        ...


class Differs(Exception):
    """Something was not as the story has it; the message says what, and perhaps ends with a log."""


@dataclass(frozen=True)
class Scene:
    """Everything the story is played with. `client` is the server owner's.

    `started` is the clock's monotonic time at the beginning; `slack` the page of a Slack, where there is one.
    """

    home: SandboxHome
    hosts: Hosts
    repository: Repository
    client: Client
    people: People
    clock: Clock
    teller: Teller
    started: float
    slack: str | None = None


def expect(what: str, found: object, wanted: object) -> None:
    """Raises Differs unless both are the same."""
    if found != wanted:
        raise Differs(f"{what} should be {wanted}, but is {found}")
