"""Those for whom Clerk vouches: how they come in, and what is known of them while they are away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clerk import ORGANIZATION, USER, Instance, KeyServer, hang, jwk, publishing, respond, rsa_key
from tests.core.access.room import Room, enter
from tests.core.vandal import content

from dg.core.access.models import SYSTEM, Action, CreateBinding, Grant, Principal
from dg.core.access.standing import standing
from dg.core.database import Database
from dg.core.errors import Forbidden, Refused, Unauthenticated, Unavailable
from dg.core.testing import Ground, ManualClock, eventually, open_ground
from dg.settings.access import Access as AccessSettings

ANA = f"clerk:{USER}"
EVE = {"iss": "https://dashboard.clerk.com", "sub": "user_2eve"}
HOUR = 3600.0
ADMIN = Grant(role="admin")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with publishing() as server:
        yield server


@pytest.fixture
def instance(server: KeyServer, clock: ManualClock) -> Instance:
    instance = Instance(server.url, lambda: clock.micros() / 1_000_000)
    server.publish(instance.jwks())
    return instance


@pytest.fixture
async def ground(tmp_path: Path, clock: ManualClock, database_url: str | None) -> AsyncIterator[Ground]:
    async with open_ground(tmp_path, clock, url=database_url) as ground:
        yield ground


@pytest.fixture
async def room(ground: Ground, clock: ManualClock, instance: Instance) -> Room:
    return await opened(ground, clock, instance)


async def opened(ground: Ground, clock: ManualClock, instance: Instance, **changes: Any) -> Room:
    settings = AccessSettings.model_validate({"clerk": instance.settings(**changes)})
    return await enter(ground, clock, settings)


async def stands(room: Room, principal: str = ANA) -> Principal | None:
    """As whom decisions of `principal` count now."""
    now = room.clock.micros()
    found = await room.ground.db.read(lambda tx: standing(tx, [principal], now))
    return found.get(principal)


# --- coming in


async def test_a_session_token_makes_somebody(room: Room, instance: Instance) -> None:
    found = await room.access.authenticate(instance.token())
    assert (found.id, found.name, found.kind, found.method) == (ANA, USER, "person", "clerk")
    assert (found.grants, found.groups, found.impersonated_by) == ((ADMIN,), ("clerk-role:admin",), None)


async def test_tokens_of_the_server_itself_go_on_beside(room: Room, server: KeyServer) -> None:
    secret = await room.entrance.tokens.owner_token("ada")
    assert (await room.access.authenticate(secret)).id == "local"
    assert server.fetches == 0


async def test_a_token_is_verified_once_while_it_lasts(
    room: Room, instance: Instance, clock: ManualClock
) -> None:
    token = instance.token()
    await room.access.authenticate(token)
    clock.jump(64)
    assert (await room.access.authenticate(token)).id == ANA
    clock.jump(2)
    with pytest.raises(Unauthenticated):
        await room.access.authenticate(token)


async def test_a_withdrawn_key_lets_nobody_in_who_was_known(
    room: Room, instance: Instance, server: KeyServer, clock: ManualClock
) -> None:
    token = instance.token(exp=int(clock.micros() / 1_000_000) + 3600)
    await room.access.authenticate(token)
    instance.rotate("second")
    server.publish(instance.jwks())
    await clock.advance(30)
    assert (await room.access.authenticate(instance.token())).id == ANA
    with pytest.raises(Unauthenticated):
        await room.access.authenticate(token)


async def test_known_keys_let_people_in_while_their_place_is_down_for_hours(
    room: Room, instance: Instance, server: KeyServer, clock: ManualClock
) -> None:
    await room.access.authenticate(instance.token())
    server.answer = respond(b"", "503 Service Unavailable")
    for _ in range(23):
        await clock.advance(HOUR)
        assert (await room.access.authenticate(instance.token())).id == ANA
    assert room.entrance.signs()["clerk_keys"]() == "not renewed"


async def test_without_keys_it_is_not_the_token_that_is_wrong(
    room: Room, instance: Instance, server: KeyServer, clock: ManualClock
) -> None:
    server.answer = respond(b"", "503 Service Unavailable")
    with pytest.raises(Unavailable):
        await room.access.authenticate(instance.token())
    assert await room.facts("access.authentication_failed") == []
    server.publish(instance.jwks())
    await clock.advance(5)
    assert (await room.access.authenticate(instance.token())).id == ANA


async def test_the_keys_are_there_before_somebody_comes(
    room: Room, instance: Instance, server: KeyServer
) -> None:
    room.entrance.begin()
    await eventually(lambda: server.fetches)
    await eventually(lambda: _knows(room, instance))
    server.answer = hang
    assert (await room.access.authenticate(instance.token())).id == ANA


async def _knows(room: Room, instance: Instance) -> bool:
    return (await room.access.authenticate(instance.token())).id == ANA


# --- what is kept


async def test_the_name_stays_out_of_the_ledger(
    ground: Ground, clock: ManualClock, instance: Instance
) -> None:
    room = await opened(ground, clock, instance, name_claim="email")
    await room.access.authenticate(instance.token(email="ana@example.org"))
    assert await room.access.names([ANA]) == {ANA: "ana@example.org"}
    await room.access.authenticate(instance.token(email="ana@new.example.org"))
    assert await room.access.names([ANA]) == {ANA: "ana@new.example.org"}


async def test_a_token_of_the_next_minute_writes_nothing(
    room: Room, instance: Instance, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.access.authenticate(instance.token())
    writes: list[object] = []
    write = Database.write

    async def counted(self: Database, work: Any) -> Any:
        writes.append(work)
        return await write(self, work)

    monkeypatch.setattr(Database, "write", counted)
    await clock.advance(60)
    await room.access.authenticate(instance.token())
    assert writes == []
    await clock.advance(13 * HOUR)
    await room.access.authenticate(instance.token())
    assert len(writes) == 1


async def test_rights_stand_as_the_newest_token_had_them(
    room: Room, instance: Instance, clock: ManualClock
) -> None:
    assert await stands(room) is None
    await room.access.authenticate(instance.token())
    found = await stands(room)
    assert found is not None
    assert (found.id, found.kind, found.method, found.grants) == (ANA, "person", "clerk", (ADMIN,))
    assert found.groups == ("clerk-role:admin",)
    await clock.advance(1)
    await room.access.authenticate(instance.token(o={"id": ORGANIZATION, "rol": "member"}))
    found = await stands(room)
    assert found is not None
    assert (found.grants, found.groups) == ((), ("clerk-role:member",))
    await clock.advance(1)
    await room.access.authenticate(instance.token())
    found = await stands(room)
    assert found is not None
    assert found.grants == (ADMIN,)


async def test_another_organisation_in_another_window_takes_nothing_away(
    room: Room, instance: Instance
) -> None:
    await room.access.authenticate(instance.token())
    await room.access.authenticate(instance.token(o=None))
    found = await stands(room)
    assert found is not None
    assert found.grants == (ADMIN,)


async def test_rights_end_a_day_after_they_were_seen(
    room: Room, instance: Instance, clock: ManualClock
) -> None:
    await room.access.authenticate(instance.token())
    await clock.advance(24 * HOUR - 1)
    assert await stands(room) is not None
    await clock.advance(1)
    assert await stands(room) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"grants": [{"to": "role:admin", "role": "viewer"}]},
        {"organizations": ["org_2other"]},
        {"issuer": "https://clerk.example.org"},
    ],
)
async def test_rights_that_other_settings_gave_are_forgotten_at_the_start(
    ground: Ground, clock: ManualClock, instance: Instance, changes: dict[str, Any]
) -> None:
    room = await opened(ground, clock, instance)
    await room.access.authenticate(instance.token())
    again = await opened(ground, clock, instance)
    assert await stands(again) is not None
    other = await opened(ground, clock, instance, **changes)
    assert await stands(other) is None


async def test_rights_are_forgotten_when_clerk_vouches_no_more(
    ground: Ground, clock: ManualClock, instance: Instance
) -> None:
    room = await opened(ground, clock, instance)
    await room.access.authenticate(instance.token())
    assert await stands(await enter(ground, clock, AccessSettings())) is None


async def test_a_database_that_refuses_to_write_keeps_nobody_out(
    room: Room, instance: Instance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(self: Database, work: Any) -> Any:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", refuse)
        assert (await room.access.authenticate(instance.token())).id == ANA
    assert "the disk is full" in caplog.text
    await room.access.authenticate(instance.token(jti="another"))
    assert await stands(room) is not None


async def test_nothing_of_a_token_is_in_the_home(room: Room, instance: Instance) -> None:
    token = instance.token()
    await room.access.authenticate(token)
    kept = content(room.ground)
    assert USER.encode() in kept
    assert not [part for part in token.split(".") if part.encode() in kept]


# --- somebody else in their name


async def test_who_acts_for_another_stands_in_the_ledger(room: Room, instance: Instance) -> None:
    disguised = await room.access.authenticate(instance.token(act=EVE))
    assert (disguised.id, disguised.impersonated_by) == (ANA, "clerk:user_2eve")
    with pytest.raises(Forbidden) as error:
        await room.entrance.tokens.create(disguised, name="mine", role="viewer")
    assert error.value.reason == "impersonated"
    await eventually(lambda: room.facts("access.denied"))
    (entry,) = await room.facts("access.denied")
    assert (entry.actor, entry.auth) == (ANA, "clerk")
    assert entry.payload["impersonated_by"] == "clerk:user_2eve"


async def test_nobody_has_events_sent_on_in_anothers_name(room: Room, instance: Instance) -> None:
    disguised = await room.access.authenticate(instance.token(act=EVE))
    for action in (Action.WEBHOOK_CREATE, Action.WEBHOOK_UPDATE):
        with pytest.raises(Forbidden) as error:
            room.access.require(disguised, action)
        assert error.value.reason == "impersonated"
    room.access.require(disguised, Action.WEBHOOK_DELETE)


async def test_nobody_decides_on_production_in_anothers_name(room: Room, instance: Instance) -> None:
    herself = await room.access.authenticate(instance.token())
    disguised = await room.access.authenticate(instance.token(act=EVE))
    for action in (
        Action.DEPLOYMENT_APPROVE,
        Action.DEPLOYMENT_OVERRIDE,
        Action.ENVIRONMENT_UPDATE,
        Action.SECRET_UPDATE,
        Action.BACKUP_RESTORE,
    ):
        assert herself.may(action, "production", "shop")
        assert not disguised.may(action, "production", "shop")
        assert not disguised.may(action)
        assert disguised.may(action, "staging", "shop")
        with pytest.raises(Forbidden, match="in person"):
            room.access.require(disguised, action, "production", "shop")
    assert disguised.may(Action.DEPLOYMENT_ROLLBACK, "production", "shop")


async def test_why_somebody_may_not_in_anothers_name_is_said(room: Room, instance: Instance) -> None:
    disguised = await room.access.authenticate(instance.token(act=EVE))
    decision = await room.access.explain(disguised, "deployment:approve", "production", "shop")
    assert (decision.allowed, "in person" in decision.why) == (False, True)
    assert (await room.access.explain(disguised, "deployment:approve", "staging", "shop")).allowed


async def test_a_role_bound_to_an_organisation_role_comes_with_it(room: Room, instance: Instance) -> None:
    member = {"id": ORGANIZATION, "rol": "member"}
    assert (await room.access.authenticate(instance.token(o=member))).grants == ()
    wish = CreateBinding(subject="clerk-role:member", role="approver", environment="production")
    await room.entrance.bindings.create(SYSTEM, wish)
    bound = await room.access.authenticate(instance.token(o=member))
    assert [(grant.role, grant.environment) for grant in bound.grants] == [("approver", "production")]
    found = await stands(room)
    assert found is not None
    assert [grant.role for grant in found.grants] == ["approver"]
    stranger = await room.access.authenticate(instance.token(o={"id": "org_2other", "rol": "member"}))
    assert stranger.grants == ()


async def test_a_place_inside_stops_the_start_until_it_is_allowed(
    ground: Ground, clock: ManualClock, instance: Instance
) -> None:
    with pytest.raises(Refused, match=r"the keys of access\.clerk: .* leads to"):
        await opened(ground, clock, instance, jwks_url="https://10.0.0.7/jwks.json")


async def test_many_at_once_ask_for_the_keys_once(room: Room, instance: Instance, server: KeyServer) -> None:
    found = await asyncio.gather(
        *(room.access.authenticate(instance.token(sub=f"user_{at}")) for at in range(20))
    )
    assert len({principal.id for principal in found}) == 20
    assert server.fetches == 1


async def test_keys_of_another_size_say_nothing(
    room: Room, instance: Instance, server: KeyServer, clock: ManualClock
) -> None:
    server.publish({"keys": [jwk("ins_1", rsa_key("weak", 1024)), jwk("ins_2", rsa_key("second"))]})
    with pytest.raises(Unauthenticated):
        await room.access.authenticate(instance.token())
