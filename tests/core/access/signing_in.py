"""Signing in, as a program and the person who lets it in do it together."""

from __future__ import annotations

from collections.abc import Sequence

from tests.core.access.room import Room

from dg.core.access.models import Grant, Origin, Principal
from dg.core.access.sessions import ApproveLogin, Login, SessionTokens, WantedGrant
from dg.core.idempotency import Once
from dg.core.testing import person

ADMIN = person("admin", name="ada")
HERE = Origin(address="203.0.113.9", request_id="r1")
DAY = 86400.0


async def asked(room: Room, origin: Origin = HERE) -> tuple[str, str]:
    """The device code and the user code of a new login."""
    device = await room.logins.ask(origin, name="ana", host="laptop")
    return device.device_code, device.user_code


async def approve(
    room: Room,
    by: Principal,
    code: str,
    *,
    person: str | None = None,
    grants: Sequence[Grant] = (),
    key: Once | None = None,
) -> Login:
    """Let a login in, as oneself or as somebody else."""
    wanted = (
        WantedGrant(role=each.role, environment=each.environment, service=each.service) for each in grants
    )
    return await room.logins.approve(by, code, ApproveLogin(person=person, grants=tuple(wanted)), key)


async def signed_in(
    room: Room, name: str = "ana", role: str = "operator", by: Principal = ADMIN
) -> SessionTokens:
    """A new session of somebody whom `by` lets in."""
    device, code = await asked(room)
    await approve(room, by, code, person=name, grants=[Grant(role=role)])
    return await room.logins.collect(device)


async def signed_in_by_oneself(room: Room, tokens: SessionTokens) -> SessionTokens:
    """Another session of the same person, let in from their first one."""
    device, code = await asked(room)
    await approve(room, await whose(room, tokens), code)
    return await room.logins.collect(device)


async def whose(room: Room, tokens: SessionTokens) -> Principal:
    """Who comes with these tokens."""
    return await room.access.authenticate(tokens.access_token, HERE)
