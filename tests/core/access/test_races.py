"""Rights that are given in the moment in which the role that they are of changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from tests.core.access.room import Room
from tests.core.access.signing_in import ADMIN, approve, asked

from dg.core.access.models import CreateBinding, CreateRole, Grant, Scope, UpdateRole
from dg.core.errors import Forbidden, Problem, Refused

ROLE = "releaser"
PERSON = "clerk:user_ada"
TRIES = 5

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


async def refused(room: Room, change: Giving, give: Giving) -> Refused:
    """What who looked at the role before its change and came after it is told; who came late tries again."""
    given: object = None
    for _ in range(TRIES):
        with suppress(Problem):
            await room.roles.delete(ADMIN, ROLE)
        await make_role(room)
        changed, given = await asyncio.gather(change(room), give(room), return_exceptions=True)
        assert not isinstance(changed, BaseException)
        if isinstance(given, Refused):
            return given
    raise AssertionError(f"nobody was refused, the last one got {given!r}")


async def delete(room: Room) -> object:
    return await room.roles.delete(ADMIN, ROLE)


async def widen(room: Room) -> object:
    return await room.roles.update(ADMIN, ROLE, UpdateRole(add=("deployment:create",)))


@pytest.mark.parametrize("give", WAYS)
async def test_nothing_is_given_of_a_role_that_is_deleted_meanwhile(room: Room, give: Giving) -> None:
    assert (await refused(room, delete, give)).reason == "role_changed"


@pytest.mark.parametrize("give", WAYS)
async def test_nothing_is_given_of_a_role_that_gets_more_meanwhile(room: Room, give: Giving) -> None:
    assert (await refused(room, widen, give)).reason == "role_changed"
    await give(room)


async def test_a_login_is_not_let_in_with_a_role_that_is_deleted_meanwhile(room: Room) -> None:
    codes = [(await asked(room))[1] for _ in range(TRIES)]

    async def let_in(room: Room) -> object:
        return await approve(room, ADMIN, codes.pop(), person="ada", grants=[Grant(role=ROLE)])

    assert (await refused(room, delete, let_in)).reason == "role_changed"


async def test_a_login_does_not_begin_with_a_role_that_is_deleted_before(room: Room) -> None:
    await make_role(room)
    device, code = await asked(room)
    await approve(room, ADMIN, code, person="ada", grants=[Grant(role=ROLE)])
    await room.roles.delete(ADMIN, ROLE)
    with pytest.raises(Forbidden):
        await room.logins.collect(device)
