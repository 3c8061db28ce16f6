"""Tokens and permission: who may, who may not, and what of it is remembered."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.core.access.room import Room, enter
from tests.core.vandal import content

from dg.core import origins
from dg.core.access.models import ACTIONS, GIVEN, SYSTEM, Action, Grant, Origin, Principal, Role
from dg.core.errors import Forbidden, Invalid, Mismatch, NotFound, Unauthenticated, Unavailable
from dg.core.idempotency import Once
from dg.core.testing import ManualClock, eventually, open_ground, person, settle
from dg.settings.access import Access as AccessSettings

ADMIN = person("admin", name="ada")


async def issued(room: Room, role: str = "viewer", **options: object) -> tuple[str, str]:
    """The id and the secret of a new token."""
    made = await room.tokens.create(ADMIN, name="ci", role=role, **options)  # type: ignore[arg-type]
    return made.token.id, made.secret


# --- who may not


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
async def test_only_an_administrator_handles_tokens(room: Room, role: Role) -> None:
    caller = person(role)
    with pytest.raises(Forbidden):
        await room.tokens.create(caller, name="x", role="viewer")
    with pytest.raises(Forbidden):
        await room.tokens.list(caller)
    token, _ = await issued(room)
    with pytest.raises(Forbidden):
        await room.tokens.revoke(caller, token)


@pytest.mark.parametrize("scope", [{}, {"environment": "production"}, {"service": "shop"}])
async def test_an_administrator_of_staging_gives_nothing_beyond_it(room: Room, scope: dict[str, str]) -> None:
    narrow = person("admin", environment="staging")
    with pytest.raises(Forbidden, match="admin on staging"):
        await room.tokens.create(narrow, name="x", role="viewer", **scope)  # type: ignore[arg-type]
    made = await room.tokens.create(narrow, name="x", role="operator", environment="staging", service="shop")
    assert made.token.grant == Grant(role=Role.OPERATOR, environment="staging", service="shop")


async def test_an_administrator_of_staging_neither_sees_nor_ends_other_tokens(room: Room) -> None:
    narrow = person("admin", environment="staging")
    token, secret = await issued(room)
    assert await room.tokens.list(narrow) == ()
    with pytest.raises(NotFound):
        await room.tokens.revoke(narrow, token)
    assert (await room.access.authenticate(secret)).id == token


async def test_nobody_gives_a_role_with_more_than_their_own(room: Room) -> None:
    """Who may issue tokens and otherwise as much as an operator issues no administrator's."""
    actions = GIVEN[Role.OPERATOR] | {Action.TOKEN_CREATE}
    issuer = Principal(id="i", name="ida", grants=(Grant(role="issuer", actions=actions),))
    with pytest.raises(Forbidden):
        await room.tokens.create(issuer, name="x", role="admin")
    assert (await room.tokens.create(issuer, name="x", role="viewer")).token.grant.role == "viewer"


def test_no_action_is_missing_in_the_table() -> None:
    assert set(ACTIONS) == set(Action)
    assert all(ACTIONS.values())


@pytest.mark.parametrize("role", list(Role))
async def test_require_follows_the_table(room: Room, role: Role) -> None:
    caller = person(role, environment="staging")
    for action, roles in ACTIONS.items():
        if role in roles:
            room.access.require(caller, action, "staging", "shop")
            room.access.require_somewhere(caller, action)
        else:
            with pytest.raises(Forbidden) as caught:
                room.access.require(caller, action, "staging", "shop")
            place = {"environment": "staging", "service": "shop"}
            assert caught.value.details == {"action": action, "roles": sorted(roles), **place}
            with pytest.raises(Forbidden):
                room.access.require_somewhere(caller, action)
        for environment in ("production", None):
            with pytest.raises(Forbidden):
                room.access.require(caller, action, environment, "shop")


async def test_a_refusal_names_the_role_that_is_missing(room: Room) -> None:
    with pytest.raises(Forbidden) as caught:
        room.access.require(person("viewer", name="vera"), Action.LANE_FREEZE, "production", "shop")
    assert caught.value.message.startswith(
        "lane:freeze on shop/production needs the role admin or approver; vera has viewer"
    )


async def test_what_one_may_not_read_is_not_there(room: Room) -> None:
    missing = NotFound("there is no deployment 1")
    stranger = person("viewer", environment="staging")
    with pytest.raises(NotFound) as caught:
        room.access.require_visible(stranger, Action.DEPLOYMENT_READ, "production", "shop", missing)
    assert caught.value is missing
    room.access.require_visible(stranger, Action.DEPLOYMENT_READ, "staging", "shop", missing)


async def test_nobody_without_a_grant_may_anything(room: Room) -> None:
    with pytest.raises(Forbidden, match="has no role"):
        room.access.require(Principal(id="x", name="x"), Action.DEPLOYMENT_READ, "staging", "shop")


# --- tokens


async def test_a_token_opens_what_it_was_made_for(room: Room) -> None:
    token, secret = await issued(room, "operator", environment="staging", service="shop")
    principal = await room.access.authenticate(secret)
    assert principal == Principal(
        id=token,
        name="ci",
        kind="service",
        method="token",
        grants=(Grant(role=Role.OPERATOR, environment="staging", service="shop"),),
        expires_at=room.clock.micros() // 10**6 * 10**6 + 90 * 86400 * 10**6,
    )


async def test_no_secret_is_kept(room: Room) -> None:
    await room.tokens.create(ADMIN, name="ci", role="viewer", once=Once("k", "f"))
    token, secret = await issued(room)
    await room.access.authenticate(secret)
    await room.entrance.flush()
    kept = content(room.ground)
    assert token.encode() in kept
    for part in secret.split(".")[1:]:
        assert part.encode() not in kept


async def test_the_name_of_a_token_stays_out_of_the_ledger(room: Room) -> None:
    token, _ = await issued(room)
    (entry,) = await room.facts("token.created")
    assert entry.actor == ADMIN.id
    assert entry.payload == {
        "token": token,
        "role": "viewer",
        "expires_at": room.clock.micros() // 10**6 * 10**6 + 90 * 86400 * 10**6,
    }


async def test_the_same_request_gives_the_same_token_once(room: Room) -> None:
    wish = Once("key", "print")
    one = await room.tokens.create(ADMIN, name="ci", role="viewer", once=wish)
    await room.clock.advance(100)
    two = await room.tokens.create(ADMIN, name="ci", role="viewer", once=wish)
    assert one == two
    assert len(await room.tokens.list(ADMIN)) == 1
    with pytest.raises(Mismatch):
        await room.tokens.create(ADMIN, name="ci", role="admin", once=Once("key", "other"))


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("role", {"role": "root"}),
        ("environment", {"environment": "prod"}),
        ("service", {"service": "../shop"}),
        ("service", {"service": "shop\n"}),
        ("kind", {"kind": "robot"}),
        ("name", {"name": ""}),
        ("name", {"name": "  "}),
        ("name", {"name": "a" * 101}),
        ("name", {"name": "a\x1b[31mb"}),
        ("ttl", {"ttl": 0}),
        ("ttl", {"ttl": -1}),
        ("ttl", {"ttl": float("nan")}),
        ("ttl", {"ttl": float("inf")}),
        ("ttl", {"ttl": 366 * 86400.0}),
    ],
)
async def test_a_bad_wish_is_refused_by_its_field(room: Room, field: str, options: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=f"^{field}:") as caught:
        await room.tokens.create(ADMIN, **{"name": "ci", "role": "viewer", **options})  # type: ignore[arg-type]
    assert caught.value.details["field"] == field


async def test_a_life_that_is_too_long_is_refused_in_the_words_in_which_it_is_written(room: Room) -> None:
    with pytest.raises(Invalid, match=r"lasts from 1s to 365d \(access\.token_ttl_max\), not 366d"):
        await room.tokens.create(ADMIN, name="ci", role="viewer", ttl=366 * 86400.0)


async def test_a_revoked_token_is_refused_at_once(room: Room) -> None:
    token, secret = await issued(room)
    await room.access.authenticate(secret)
    revoked = await room.tokens.revoke(ADMIN, token)
    assert revoked.revoked_at == room.clock.micros()
    with pytest.raises(Unauthenticated):
        await room.access.authenticate(secret)


async def test_a_token_is_revoked_even_if_the_caller_went_away(room: Room) -> None:
    token, secret = await issued(room)
    await room.access.authenticate(secret)
    committed = asyncio.Event()
    room.ground.bus.subscribe(lambda _: committed.set())
    asking = asyncio.ensure_future(room.tokens.revoke(ADMIN, token))
    await eventually(lambda: room.ground.db.waiting or committed.is_set())
    asking.cancel()
    await asyncio.wait_for(committed.wait(), 30)
    with pytest.raises(Unauthenticated):
        await room.access.authenticate(secret)


async def test_revoking_twice_changes_nothing(room: Room) -> None:
    token, _ = await issued(room)
    first = await room.tokens.revoke(ADMIN, token)
    await room.clock.advance(10)
    assert await room.tokens.revoke(ADMIN, token) == first
    assert len(await room.facts("token.revoked")) == 1


async def test_a_token_that_is_not_there_is_not_found(room: Room) -> None:
    with pytest.raises(NotFound):
        await room.tokens.revoke(ADMIN, "no-such\x1b[31m")


async def test_a_cached_token_ends_on_time_by_the_wall_clock(room: Room) -> None:
    _, secret = await issued(room, ttl=30)
    await room.access.authenticate(secret)
    room.clock.jump(36)
    with pytest.raises(Unauthenticated):
        await room.access.authenticate(secret)


async def test_a_token_of_another_home_is_refused(room: Room, tmp_path: Path) -> None:
    async with open_ground(tmp_path / "other", room.clock) as ground:
        other = await enter(ground, room.clock, room.settings)
        _, secret = await issued(other)
        with pytest.raises(Unauthenticated):
            await room.access.authenticate(secret)


async def test_a_token_with_the_right_key_but_no_row_is_refused(room: Room) -> None:
    now = room.clock.micros() // 1_000_000
    forged = room.tokens._issuer.sign(subject="ghost", token_id="ghost", issued_at=now, expires_at=now + 60)
    with pytest.raises(Unauthenticated):
        await room.access.authenticate(forged)


async def test_tokens_outlive_a_restart_and_so_does_their_end(
    tmp_path: Path, database_url: str | None
) -> None:
    clock = ManualClock()
    async with open_ground(tmp_path, clock, url=database_url) as ground:
        room = await enter(ground, clock, AccessSettings())
        kept, good = await issued(room)
        gone, bad = await issued(room)
        await room.tokens.revoke(ADMIN, gone)
    async with open_ground(tmp_path, clock, url=database_url) as ground:
        room = await enter(ground, clock, AccessSettings())
        assert (await room.access.authenticate(good)).id == kept
        with pytest.raises(Unauthenticated):
            await room.access.authenticate(bad)


async def test_last_use_is_written_with_the_flush(room: Room) -> None:
    token, secret = await issued(room)
    head = len(await room.facts("token.created"))
    for _ in range(5):
        await room.clock.advance(1)
        await room.access.authenticate(secret)
    assert (await room.tokens.list(ADMIN))[0].last_used_at is None
    await room.entrance.flush()
    (listed,) = await room.tokens.list(ADMIN)
    assert (listed.id, listed.last_used_at) == (token, room.clock.micros())
    assert len(await room.facts("token.created")) == head


# --- the owner of the machine


async def test_the_owner_is_an_administrator_with_a_name(room: Room) -> None:
    owner = await room.access.authenticate(await room.tokens.owner_token("olga"))
    assert (owner.id, owner.name, owner.method) == ("local", "olga", "local")
    assert all(owner.may(action) for action in Action)
    assert await room.access.names(["local"]) == {"local": "olga"}


async def test_the_owners_old_token_ends_soon_after_a_restart(room: Room) -> None:
    old = await room.tokens.owner_token("olga")
    new = await room.tokens.owner_token("olga")
    assert old != new
    await room.access.authenticate(old)
    await room.clock.advance(AccessSettings().owner_overlap)
    with pytest.raises(Unauthenticated):
        await room.access.authenticate(old)
    await room.access.authenticate(new)
    await room.clock.advance(AccessSettings().owner_ttl)
    with pytest.raises(Unauthenticated):
        await room.access.authenticate(new)


async def test_the_owners_token_is_due_when_half_of_it_is_over(room: Room) -> None:
    """A server that runs for longer than the token lasts must not lock out the owner of its machine."""
    assert room.tokens.owner_token_due()
    await room.tokens.owner_token("olga")
    assert not room.tokens.owner_token_due()
    await room.clock.advance(AccessSettings().owner_ttl / 2)
    assert room.tokens.owner_token_due()


async def test_the_owners_token_is_due_when_the_clock_was_set_back(room: Room) -> None:
    await room.tokens.owner_token("olga")
    room.clock.jump(-3600)
    assert room.tokens.owner_token_due()
    token = await room.tokens.owner_token("olga")
    assert not room.tokens.owner_token_due()
    await room.access.authenticate(token)


async def test_no_issued_token_is_the_owners(room: Room) -> None:
    token, _ = await issued(room)
    now = room.clock.micros() // 1_000_000
    forged = room.tokens._issuer.sign(subject="local", token_id=token, issued_at=now, expires_at=now + 60)
    with pytest.raises(Unauthenticated):
        await room.access.authenticate(forged)


async def test_names_fall_back_to_the_id(room: Room) -> None:
    token, _ = await issued(room)
    names = await room.access.names([token, "ghost", SYSTEM.id])
    assert names == {token: "ci", "ghost": "ghost", "system": "dg"}


# --- denied tries


async def test_the_first_denied_try_is_recorded_at_once_and_repeats_by_the_minute(room: Room) -> None:
    viewer = person("viewer", name="vera")
    for _ in range(50):
        with pytest.raises(Forbidden):
            room.access.require(viewer, Action.LANE_LOCK, "production", "shop")
    await recorded(room, "access.denied", 1)
    assert [entry.payload["count"] for entry in await room.facts("access.denied")] == [1]
    await room.entrance.flush()
    await room.entrance.flush()
    first, second = await room.facts("access.denied")
    assert (first.actor, first.environment, first.service) == (viewer.id, "production", "shop")
    assert second.payload == {
        "action": "lane:lock",
        "count": 49,
        "environment": "production",
        "service": "shop",
    }


async def test_tries_from_different_requests_are_one_kind_with_the_origin_of_the_first(room: Room) -> None:
    for number in range(20):
        origin = Origin(address="192.0.2.7", request_id=f"try-{number}")
        viewer = person("viewer").model_copy(update={"origin": origin})
        with pytest.raises(Forbidden):
            room.access.require(viewer, Action.LANE_LOCK, "staging", "shop")
    await recorded(room, "access.denied", 1)
    await room.access.flush()
    first, later = await room.facts("access.denied")
    assert (first.payload["count"], later.payload["count"]) == (1, 19)
    kept = await room.ground.db.read(lambda tx: origins.between(tx, first.seq, later.seq))
    assert [row["request_id"] for row in kept] == ["try-0", "try-0"]


async def test_what_is_denied_again_after_a_quiet_minute_is_recorded_at_once(room: Room) -> None:
    viewer = person("viewer")
    for count in (1, 2):
        with pytest.raises(Forbidden):
            room.access.require(viewer, Action.LANE_LOCK, "staging", "shop")
        await recorded(room, "access.denied", count)
        await room.clock.advance(60)
        await room.entrance.flush()
    assert [entry.payload["count"] for entry in await room.facts("access.denied")] == [1, 1]


async def test_many_kinds_of_denied_tries_do_not_fill_the_memory(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dg.core.access.denials._MOST", 10)
    viewer = person("viewer")
    for number in range(100):
        with pytest.raises(Forbidden):
            room.access.require(viewer, Action.LANE_LOCK, "staging", f"service-{number}")
    await recorded(room, "access.denied", 11)
    await room.entrance.flush()
    counts = [entry.payload["count"] for entry in await room.facts("access.denied")]
    assert counts == [1] * 11 + [89]


async def test_each_action_and_object_is_counted_for_itself(room: Room) -> None:
    viewer = person("viewer")
    for action in (Action.LANE_LOCK, Action.LANE_UNLOCK):
        for service in ("shop", "blog"):
            with pytest.raises(Forbidden):
                room.access.require(viewer, action, "staging", service)
    await recorded(room, "access.denied", 4)
    assert {entry.payload["count"] for entry in await room.facts("access.denied")} == {1}


async def test_a_flood_of_bad_credentials_writes_two_entries_a_minute(room: Room) -> None:
    for number in range(1000):
        with pytest.raises(Unauthenticated):
            await room.access.authenticate(f"junk {number}")
    await recorded(room, "authentication.failed", 1)
    await room.entrance.flush()
    counts = [entry.payload["count"] for entry in await room.facts("authentication.failed")]
    assert counts == [1, 999]
    assert "junk" not in str(await room.facts("authentication.failed"))


async def test_denied_tries_that_cannot_be_recorded_are_counted_on(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = room.ground.db
    monkeypatch.setattr(room.access, "_db", Broken())
    with pytest.raises(Forbidden):
        room.access.require(person("viewer"), Action.LANE_LOCK, "staging", "shop")
    await settle()
    monkeypatch.setattr(room.access, "_db", db)
    await room.entrance.flush()
    assert [entry.payload["count"] for entry in await room.facts("access.denied")] == [1]


class Broken:
    """A database whose disk is full."""

    async def write(self, _: object) -> None:
        raise Unavailable("the disk is full")


async def recorded(room: Room, type_: str, count: int) -> None:
    """Wait until the ledger has `count` entries of a type."""

    async def enough() -> bool:
        return len(await room.facts(type_)) >= count

    await eventually(enough)
