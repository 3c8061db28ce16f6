"""Rights that are given in the moment in which the role that they are of changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.core.access.room import Room
from tests.core.access.signing_in import ADMIN, approve, asked

from dg.core.access.models import CreateBinding, CreateRole, Grant, Scope, UpdateRole
from dg.core.errors import Forbidden, Problem, Refused

ROLE = "releaser"
PERSON = "clerk:user_ada"

Giving = Callable[[Room], Awaitable[object]]


async def bind(room: Room) -> object:
    return await room.bindings.create(ADMIN, CreateBinding(subject=PERSON, role=ROLE))


async def make_token(room: Room) -> object:
    return await room.tokens.create(ADMIN, name="ci", role=ROLE)


async def make_key(room: Room) -> object:
    return await room.keys.create(ADMIN, name="ci", scopes=[Scope(role=ROLE)])


WAYS = [
    pytest.param(bind, id="binding"),
    pytest.param(make_token, id="token"),
    pytest.param(make_key, id="key"),
]


async def make_role(room: Room) -> None:
    await room.roles.create(ADMIN, CreateRole(name=ROLE, actions=("deployment:read",)))
    await room.access.rights()


@pytest.mark.parametrize("give", WAYS)
async def test_nothing_is_given_of_a_role_that_is_deleted_meanwhile(room: Room, give: Giving) -> None:
    await make_role(room)
    deleted, given = await asyncio.gather(room.roles.delete(ADMIN, ROLE), give(room), return_exceptions=True)
    assert not isinstance(deleted, BaseException)
    assert isinstance(given, Problem)
    assert given.reason == "role_changed"


@pytest.mark.parametrize("give", WAYS)
async def test_nothing_is_given_of_a_role_that_gets_more_meanwhile(room: Room, give: Giving) -> None:
    await make_role(room)
    more = UpdateRole(add=("deployment:create",))
    _, given = await asyncio.gather(room.roles.update(ADMIN, ROLE, more), give(room), return_exceptions=True)
    assert isinstance(given, Refused)
    await give(room)


async def test_a_login_is_not_let_in_with_a_role_that_is_deleted_meanwhile(room: Room) -> None:
    await make_role(room)
    _, code = await asked(room)
    _, given = await asyncio.gather(
        room.roles.delete(ADMIN, ROLE),
        approve(room, ADMIN, code, person="ada", grants=[Grant(role=ROLE)]),
        return_exceptions=True,
    )
    assert isinstance(given, Refused)


async def test_a_login_does_not_begin_with_a_role_that_is_deleted_before(room: Room) -> None:
    await make_role(room)
    device, code = await asked(room)
    await approve(room, ADMIN, code, person="ada", grants=[Grant(role=ROLE)])
    await room.roles.delete(ADMIN, ROLE)
    with pytest.raises(Forbidden):
        await room.logins.collect(device)
