"""The two people of the story, each with a token of their own and a folder to work in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dg.client.app import Client
from dg.core.access.models import Role
from dg.core.clock import Clock
from dg.sandbox.home import SandboxHome


@dataclass(frozen=True)
class Person:
    """Somebody whom the server knows as `id`; `folder` is where their commands run."""

    name: str
    role: Role
    id: str
    folder: Path
    client: Client
    token: str = field(repr=False)


@dataclass(frozen=True)
class People:
    """`ana` asks for deployments, `ben` decides on them."""

    ana: Person
    ben: Person


@asynccontextmanager
async def open_people(home: SandboxHome, owner: Client, clock: Clock) -> AsyncIterator[People]:
    """Both with a token that `owner` issues, until the block ends."""
    async with AsyncExitStack() as stack:

        async def arrive(name: str, role: Role) -> Person:
            issued = await owner.tokens.create(name=name, role=role, kind="person")
            client = await stack.enter_async_context(Client(owner.url, issued.secret, clock=clock))
            folder = home.own / name
            folder.mkdir(mode=0o700)
            return Person(name, role, (await client.whoami()).id, folder, client, issued.secret)

        yield People(ana=await arrive("ana", Role.OPERATOR), ben=await arrive("ben", Role.APPROVER))
