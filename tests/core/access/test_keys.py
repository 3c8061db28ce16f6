"""API keys: what they open and what not, for how long, from where; rotated, revoked, nothing kept of them."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import pytest
from tests.core.access.room import Room, enter
from tests.core.vandal import ask, content

from dg.core.access import keyform
from dg.core.access.issuer import refusal
from dg.core.access.models import (
    Action,
    ApiKey,
    CreateBinding,
    CreateRole,
    Grant,
    IssuedKey,
    Origin,
    Principal,
    Role,
    Scope,
    UpdateRole,
)
from dg.core.database import Tx
from dg.core.errors import Forbidden, Invalid, Mismatch, NotFound, Refused, Unauthenticated
from dg.core.idempotency import Once
from dg.core.testing import ManualClock, open_ground, person, settle
from dg.core.types import Environment
from dg.settings.access import Access as AccessSettings

T = TypeVar("T")
ADMIN = person("admin", name="ada")
DAY = 86400.0
OPERATOR = Scope(role="operator", environment=Environment.STAGING, service="shop")


async def made(
    room: Room, *scopes: Scope, addresses: Iterable[str] = (), ttl: float | None = None
) -> IssuedKey:
    return await room.keys.create(
        ADMIN, name="ci", scopes=scopes or (OPERATOR,), addresses=addresses, ttl=ttl
    )


async def whose(room: Room, credential: str, address: str = "192.0.2.7") -> Principal:
    return await room.access.authenticate(credential, Origin(address=address))


async def refused(room: Room, credential: str, address: str = "192.0.2.7") -> None:
    with pytest.raises(Unauthenticated) as caught:
        await whose(room, credential, address)
    assert caught.value.message == refusal().message


# --- who may not


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
async def test_only_an_administrator_handles_keys(room: Room, role: Role) -> None:
    caller, key = person(role), (await made(room)).key
    with pytest.raises(Forbidden):
        await room.keys.create(caller, name="x", scopes=[Scope(role="viewer")])
    with pytest.raises(Forbidden):
        await room.keys.list(caller)
    for act in (room.keys.rotate, room.keys.revoke):
        for wanted in (key.id, "01936b2e-7c00-7000-8000-00000000000a"):
            with pytest.raises(Forbidden):
                await act(caller, wanted)


async def test_an_administrator_of_staging_makes_keys_for_staging_only(room: Room) -> None:
    narrow = person("admin", environment="staging")
    for beyond in (Scope(role="viewer"), Scope(role="viewer", environment=Environment.PRODUCTION)):
        with pytest.raises(Forbidden, match="admin on staging"):
            await room.keys.create(narrow, name="x", scopes=[OPERATOR, beyond])
    assert (await room.keys.create(narrow, name="x", scopes=[OPERATOR])).key.scopes == (OPERATOR,)


async def test_a_key_with_a_scope_elsewhere_is_not_there_for_an_administrator_of_staging(room: Room) -> None:
    narrow = person("admin", environment="staging")
    wide = await made(room, OPERATOR, Scope(role="viewer", environment=Environment.PRODUCTION))
    own = await made(room)
    assert [key.id for key in await room.keys.list(narrow)] == [own.key.id]
    absent = "01936b2e-7c00-7000-8000-00000000000a"
    for act in (room.keys.rotate, room.keys.revoke):
        with pytest.raises(NotFound) as hidden:
            await act(narrow, wide.key.id)
        with pytest.raises(NotFound) as missing:
            await act(narrow, absent)
        assert hidden.value.message.replace(wide.key.id, absent) == missing.value.message
    await whose(room, wide.secret)


async def test_a_key_does_not_make_keys_with_more_than_its_own(room: Room) -> None:
    maker = await made(room, Scope(action="key:create"), Scope(role="viewer"))
    key = await whose(room, maker.secret)
    with pytest.raises(Forbidden):
        await room.keys.create(key, name="x", scopes=[Scope(role="operator")])
    assert (await room.keys.create(key, name="x", scopes=[Scope(role="viewer")])).key.created_by == key.id


async def test_whoever_may_rotate_gets_no_secret_of_a_key_that_may_more(room: Room) -> None:
    rotator = await made(room, Scope(action="key:rotate"), Scope(role="viewer"), Scope(action="key:read"))
    admin = await made(room, Scope(role="admin"))
    with pytest.raises(Forbidden):
        await room.keys.rotate(await whose(room, rotator.secret), admin.key.id)


async def test_whoever_may_rotate_gets_no_secret_of_a_key_to_which_more_is_bound(room: Room) -> None:
    narrow = person("admin", environment="staging", service="shop")
    issued = await made(room)
    await room.bindings.create(ADMIN, CreateBinding(subject=issued.key.id, role="operator"))
    with pytest.raises(Forbidden):
        await room.keys.rotate(narrow, issued.key.id)
    await room.keys.rotate(ADMIN, issued.key.id)


async def test_a_key_with_a_binding_for_a_time_is_rotated_by_whoever_has_that_for_as_long(room: Room) -> None:
    end = room.clock.micros() + 60_000_000
    issued = await made(room)
    await room.bindings.create(ADMIN, CreateBinding(subject=issued.key.id, role="operator", expires_at=end))
    held = Grant(role="operator", binding="01936b2e-7c00-7000-8000-00000000000b", expires_at=end)
    narrow = person("admin", environment="staging", service="shop")
    rotators = Grant(role="rotator", actions=frozenset({Action.KEY_ROTATE, Action.KEY_READ}))
    caller = narrow.model_copy(update={"grants": (*narrow.grants, rotators, held)})
    await room.keys.rotate(caller, issued.key.id)


# --- what a key is


async def test_a_key_is_a_service_account_with_its_scopes(room: Room) -> None:
    issued = await made(
        room, OPERATOR, Scope(action="lane:freeze", environment=Environment.PRODUCTION, service="shop")
    )
    found = await whose(room, issued.secret)
    assert (found.id, found.name, found.kind, found.method) == (issued.key.id, "ci", "service", "key")
    assert found.origin == Origin(address="192.0.2.7")
    assert found.may(Action.DEPLOYMENT_CREATE, "staging", "shop")
    assert found.may(Action.LANE_FREEZE, "production", "shop")
    for action, environment, service in (
        (Action.DEPLOYMENT_CREATE, "production", "shop"),
        (Action.DEPLOYMENT_CREATE, "staging", "api"),
        (Action.LANE_FREEZE, "staging", "shop"),
        (Action.LANE_THAW, "production", "shop"),
        (Action.DEPLOYMENT_READ, None, None),
    ):
        assert not found.may(action, environment, service)


async def test_the_secret_says_where_it_opens_something(room: Room) -> None:
    staging, production = Environment.STAGING, Environment.PRODUCTION
    for environments, begin in (
        ([production], "dgk_prod_"),
        ([staging, production], "dgk_all_"),
        ([None], "dgk_all_"),
    ):
        issued = await made(room, *(Scope(role="viewer", environment=each) for each in environments))
        assert issued.secret.startswith(begin)
        assert issued.key.secrets[0].begins == keyform.public_part(issued.secret)


async def test_no_key_is_made_for_what_only_people_do(room: Room) -> None:
    for action in ["deployment:approve", "deployment:reject", "deployment:override"]:
        with pytest.raises(Invalid, match="only people"):
            await made(room, Scope(action=action))


async def test_a_scope_that_is_none_is_refused(room: Room) -> None:
    for scope in (
        Scope(),
        Scope(role="viewer", action="lane:read"),
        Scope(role="root"),
        Scope(action="lane:nothing"),
        Scope(role="viewer", service="Shop"),
        Scope(role="viewer", service="../x"),
        Scope(role="\x1b[31m"),
        Scope(action="\x1b[31m"),
    ):
        with pytest.raises(Invalid, match=r"^scopes: ") as caught:
            await made(room, scope)
        assert "\x1b" not in caught.value.message


async def test_a_role_of_one_s_own_means_to_a_key_what_it_says_by_now(room: Room) -> None:
    roles = room.entrance.roles
    await roles.create(ADMIN, CreateRole(name="releaser", actions=("deployment:create",)))
    issued = await made(room, Scope(role="releaser"))
    assert (await whose(room, issued.secret)).may(Action.DEPLOYMENT_CREATE)
    with pytest.raises(Refused, match="held by 1 API key;"):
        await roles.delete(ADMIN, "releaser")
    await roles.update(ADMIN, "releaser", UpdateRole(add=("lane:read",), remove=("deployment:create",)))
    found = await whose(room, issued.secret)
    assert found.may(Action.LANE_READ)
    assert not found.may(Action.DEPLOYMENT_CREATE)
    await room.keys.revoke(ADMIN, issued.key.id)
    await roles.delete(ADMIN, "releaser")


async def test_nobody_gives_a_key_a_role_of_one_s_own_with_more_than_they_have(room: Room) -> None:
    await room.entrance.roles.create(ADMIN, CreateRole(name="thawer", actions=("lane:thaw",)))
    maker = await made(room, Scope(action="key:create"), Scope(role="viewer"))
    with pytest.raises(Forbidden, match="lane:thaw"):
        await room.keys.create(await whose(room, maker.secret), name="x", scopes=[Scope(role="thawer")])


async def test_a_key_has_some_scopes_and_not_too_many(room: Room) -> None:
    many = [Scope(role="viewer", service=f"s{number}") for number in range(51)]
    for scopes in ([], many):
        with pytest.raises(Invalid, match="1 to 50"):
            await room.keys.create(ADMIN, name="x", scopes=scopes)
    issued = await made(room, *many[:50], *many[:50])
    assert issued.key.scopes == tuple(many[:50])


async def test_a_name_is_what_people_can_read(room: Room) -> None:
    for name in ("", "  ", "a\nb", "x" * 101, "\u202e"):
        with pytest.raises(Invalid, match=r"^name: "):
            await room.keys.create(ADMIN, name=name, scopes=[OPERATOR])


# --- attacks


async def attacks(room: Room) -> dict[str, str]:
    issued = await made(room)
    good, kept = issued.secret, ask(room.ground, "SELECT digest FROM api_key_secrets")[0][0]
    body, _, check = good.rpartition("_")
    other = keyform.make(Environment.STAGING, lambda size: bytes(size))
    rest = good.removeprefix(keyform.public_part(good))
    return {
        "only its public beginning": keyform.public_part(good),
        "truncated": good[:-1],
        "without its check": body,
        "wrong check": body + "_" + check[::-1],
        "one character more": good + "0",
        "another environment": good.replace("dgk_stg", "dgk_prod"),
        "another environment with its check": checked(good.replace("dgk_stg", "dgk_prod")),
        "another secret behind the beginning": checked(
            keyform.public_part(good) + other.removeprefix(keyform.public_part(other))
        ),
        "another beginning before the secret": checked(keyform.public_part(other) + rest),
        "upper case": good.upper(),
        "lower case": good.lower(),
        "full width": good.translate({ord("d"): "\N{FULLWIDTH LATIN SMALL LETTER D}"}),
        "a lone surrogate": good + "\ud800",
        "a NUL": good + "\0",
        "a line feed": good + "\n",
        "twice": f"{good}, {good}",
        "twice in a header": f"{good}, Bearer {good}",
        "long": good + "0" * 8000,
        "longer than anything is looked at": good + "0" * 1_000_000,
        "SQL": "dgk_stg_' OR 1=1 --",
        "the stored digest": kept,
        "the stored digest as a key": f"dgk_stg_{kept[:32]}_000000",
        "the stored digest as a key with its check": checked(f"dgk_stg_{kept[:32]}_000000"),
        "a key of nobody": other,
    }


def checked(key: str) -> str:
    """`key` with the check that fits."""
    body = key.rpartition("_")[0]
    return f"{body}_{keyform._check(body)}"


async def test_no_attack_passes_and_all_get_the_same_words_at_once(room: Room) -> None:
    for attack, credential in (await attacks(room)).items():
        seconds = []
        for _ in range(5):
            before = time.perf_counter()
            await refused(room, credential)
            seconds.append(time.perf_counter() - before)
        # The quickest: what else the machine does is not the attack's.
        assert min(seconds) < 0.05, attack


async def test_the_digest_is_compared_in_constant_time(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bool] = []
    compare = hmac.compare_digest

    def counting(one: str, other: str) -> bool:
        compared.append(compare(one, other))
        return compared[-1]

    issued = await made(room)
    monkeypatch.setattr(hmac, "compare_digest", counting)
    await whose(room, issued.secret)
    await refused(room, keyform.make(Environment.STAGING, lambda size: bytes(size)))
    assert compared == [True, False]


async def test_a_mistyped_key_asks_no_database(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = await made(room)

    async def never(_: object) -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(room.ground.db, "glance", never)
    monkeypatch.setattr(room.ground.db, "read", never)
    await refused(room, issued.secret[:-1] + ("a" if issued.secret[-1] != "a" else "b"))


async def test_refused_keys_are_counted_without_what_was_shown(room: Room) -> None:
    issued = await made(room)
    await refused(room, issued.secret[:-1])
    await settle()
    await room.ground.db.drain()
    (fact,) = await room.facts("authentication.failed")
    assert fact.actor == "anonymous"
    assert issued.secret[:-1] not in json.dumps(fact.payload)


async def test_nothing_is_kept_of_a_secret(room: Room) -> None:
    issued = await made(room)
    rotated = await room.keys.rotate(ADMIN, issued.key.id)
    kept = content(room.ground) + (room.ground.home.keys / "pepper").read_bytes()
    for secret in (issued.secret, rotated.secret):
        assert keyform.public_part(secret).encode() in kept
        assert secret.removeprefix(keyform.public_part(secret))[:-7].encode() not in kept


# --- from where


async def test_a_key_opens_nothing_from_elsewhere(room: Room) -> None:
    issued = await made(room, addresses=["192.0.2.0/24", "2001:db8::/32"])
    for address in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"):
        assert (await whose(room, issued.secret, address)).id == issued.key.id
    for address in ("192.0.3.7", "127.0.0.1", "::1", "2001:db9::1", "", "unknown", "192.0.2.7:80"):
        await refused(room, issued.secret, address)


async def test_a_good_key_from_elsewhere_is_told_once_a_minute_and_a_guessed_one_is_not(room: Room) -> None:
    issued = await made(room, addresses=["192.0.2.0/24"])
    for _ in range(3):
        await refused(room, issued.secret, "198.51.100.1")
    await refused(room, keyform.public_part(issued.secret) + "0" * 22 + "_000000", "198.51.100.1")
    await room.keys.flush()
    await room.keys.flush()
    (fact,) = await room.facts("key.misused")
    assert (fact.object, fact.actor) == (issued.key.id, issued.key.id)
    assert (fact.payload["count"], fact.payload["alert"]) == (3, True)
    assert (fact.environment, fact.service) == ("staging", "shop")
    assert "198.51.100.1" not in json.dumps(fact.payload)


async def test_a_key_without_networks_opens_from_anywhere(room: Room) -> None:
    issued = await made(room)
    for address in ("", "203.0.113.1", "::1"):
        await whose(room, issued.secret, address)


async def test_a_network_that_is_none_is_refused_with_a_hint(room: Room) -> None:
    for network, hint in (
        ("10.0.0.1/8", "did you mean 10.0.0.0/8"),
        ("localhost", "write one like"),
        ("", "write one like"),
        ("10.0.0.0/33", "write one like"),
        ("\x1b[31m", "write one like"),
    ):
        with pytest.raises(Invalid, match=hint) as caught:
            await made(room, addresses=[network])
        assert "\x1b" not in caught.value.message


async def test_a_key_has_not_too_many_networks(room: Room) -> None:
    with pytest.raises(Invalid, match="at most 50"):
        await made(room, addresses=[f"10.0.{number}.0/24" for number in range(51)])


# --- for how long


async def test_every_key_ends(room: Room) -> None:
    issued, short = await made(room), await made(room, ttl=60)
    assert issued.key.expires_at - issued.key.created_at == 90 * DAY * 1_000_000
    await room.clock.advance(59.9)
    await whose(room, short.secret)
    await room.clock.advance(0.2)
    await refused(room, short.secret)
    await room.clock.advance(90 * DAY)
    await refused(room, issued.secret)


async def test_no_key_lasts_longer_than_the_settings_allow(room: Room) -> None:
    for ttl in (0, 0.5, -1, 365 * DAY + 1, float("nan"), float("inf")):
        with pytest.raises(Invalid, match=r"access\.key_ttl_max"):
            await made(room, ttl=ttl)


async def test_a_rotated_key_has_two_secrets_until_the_stated_moment(room: Room) -> None:
    old = await made(room)
    new = await room.keys.rotate(ADMIN, old.key.id, overlap=2 * DAY)
    assert new.secret != old.secret
    assert new.key.id == old.key.id
    first, second = new.key.secrets
    assert first.until - second.created_at == 2 * DAY * 1_000_000
    assert (await whose(room, old.secret)) == (await whose(room, new.secret))
    await room.clock.advance(2 * DAY - 0.1)
    await whose(room, old.secret)
    await room.clock.advance(0.2)
    await refused(room, old.secret)
    await whose(room, new.secret)


async def test_without_overlap_the_old_secret_ends_at_once(room: Room) -> None:
    old = await made(room)
    await whose(room, old.secret)
    new = await room.keys.rotate(ADMIN, old.key.id, overlap=0)
    await refused(room, old.secret)
    await whose(room, new.secret)


async def test_a_second_rotation_promises_the_first_secret_no_more(room: Room) -> None:
    first = await made(room)
    second = await room.keys.rotate(ADMIN, first.key.id, overlap=60)
    third = await room.keys.rotate(ADMIN, first.key.id, overlap=DAY)
    await room.clock.advance(61)
    await refused(room, first.secret)
    await whose(room, second.secret)
    await whose(room, third.secret)


async def test_an_overlap_never_lengthens_a_secret(room: Room) -> None:
    old = await made(room, ttl=60)
    await room.keys.rotate(ADMIN, old.key.id, overlap=DAY, ttl=DAY)
    await room.clock.advance(60)
    await refused(room, old.secret)


async def test_an_overlap_lasts_a_week_at_most(room: Room) -> None:
    issued = await made(room)
    for overlap in (-1, 7 * DAY + 1, float("nan"), float("inf")):
        with pytest.raises(Invalid, match=r"^overlap: "):
            await room.keys.rotate(ADMIN, issued.key.id, overlap=overlap)


async def test_a_rotated_secret_lasts_as_long_as_the_one_before_did(room: Room) -> None:
    issued = await made(room, ttl=10 * DAY)
    await room.clock.advance(5 * DAY)
    rotated = await room.keys.rotate(ADMIN, issued.key.id)
    assert rotated.key.expires_at == room.clock.micros() + 10 * DAY * 1_000_000
    longer = await room.keys.rotate(ADMIN, issued.key.id, ttl=20 * DAY)
    assert longer.key.expires_at == room.clock.micros() + 20 * DAY * 1_000_000


async def test_a_revoked_key_opens_nothing_with_any_secret(room: Room) -> None:
    old = await made(room)
    new = await room.keys.rotate(ADMIN, old.key.id)
    for secret in (old.secret, new.secret):
        await whose(room, secret)
    revoked = await room.keys.revoke(ADMIN, old.key.id)
    assert revoked.revoked_at == room.clock.micros()
    for secret in (old.secret, new.secret):
        await refused(room, secret)
    await room.clock.advance(60)
    assert (await room.keys.revoke(ADMIN, old.key.id)).revoked_at == revoked.revoked_at
    assert len(await room.facts("key.revoked")) == 1
    with pytest.raises(Refused, match="was revoked"):
        await room.keys.rotate(ADMIN, old.key.id)


async def test_a_key_that_is_read_while_it_is_revoked_does_not_come_back(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await made(room)
    glance, gate, entered = room.ground.db.glance, asyncio.Event(), asyncio.Event()

    async def slow(fn: Callable[[Tx], T]) -> T:
        found = await glance(fn)
        entered.set()
        await gate.wait()
        return found

    monkeypatch.setattr(room.ground.db, "glance", slow)
    meanwhile = asyncio.create_task(whose(room, issued.secret))
    await entered.wait()
    await room.keys.revoke(ADMIN, issued.key.id)
    gate.set()
    await meanwhile
    await refused(room, issued.secret)


async def test_keys_are_as_they_were_after_a_restart(tmp_path: Path, database_url: str | None) -> None:
    clock = ManualClock()
    async with open_ground(tmp_path, clock, url=database_url) as ground:
        room = await enter(ground, clock, AccessSettings())
        good, revoked, scope = await made(room), await made(room), Scope(action="lane:read")
        both = await made(room, OPERATOR, scope, addresses=["192.0.2.0/24"])
        await room.keys.revoke(ADMIN, revoked.key.id)
        listed = await room.keys.list(ADMIN)
    async with open_ground(tmp_path, clock, url=database_url) as ground:
        room = await enter(ground, clock, AccessSettings())
        assert await room.keys.list(ADMIN) == listed
        assert [key.id for key in listed] == [good.key.id, revoked.key.id, both.key.id]
        assert listed[2].scopes == (OPERATOR, scope)
        await whose(room, good.secret)
        await whose(room, both.secret)
        await refused(room, both.secret, "198.51.100.1")
        await refused(room, revoked.secret)


# --- the pepper


async def test_without_its_pepper_a_key_opens_nothing_and_the_server_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    async with open_ground(tmp_path, clock) as ground:
        room = await enter(ground, clock, AccessSettings())
        issued, revoked = await made(room), await made(room)
        await room.keys.revoke(ADMIN, revoked.key.id)
        pepper = ground.home.keys / "pepper"
        kept = pepper.read_text()
    pepper.unlink()
    async with open_ground(tmp_path, clock) as ground:
        with caplog.at_level(logging.WARNING):
            room = await enter(ground, clock, AccessSettings())
        assert "1 API keys open nothing" in caplog.text
        await refused(room, issued.secret)
        fresh = await room.keys.rotate(ADMIN, issued.key.id)
        await whose(room, fresh.secret)
    caplog.clear()
    pepper.write_text(pepper.read_text() + kept)
    async with open_ground(tmp_path, clock) as ground:
        room = await enter(ground, clock, AccessSettings())
        await whose(room, issued.secret)
        await whose(room, fresh.secret)
        assert "open nothing" not in caplog.text


# --- what is remembered


async def test_each_change_is_a_fact_without_a_secret(room: Room) -> None:
    issued = await made(room, addresses=["192.0.2.0/24"])
    rotated = await room.keys.rotate(ADMIN, issued.key.id, overlap=60)
    await room.keys.revoke(ADMIN, issued.key.id)
    facts = [(await room.facts(f"key.{what}"))[0] for what in ("created", "rotated", "revoked")]
    for fact in facts:
        assert (fact.object, fact.actor) == (issued.key.id, ADMIN.id)
        assert (fact.environment, fact.service) == ("staging", "shop")
        for secret in (issued.secret, rotated.secret):
            assert secret not in json.dumps(fact.payload)
    assert facts[0].payload["scopes"] == ["operator on shop/staging"]
    assert facts[0].payload["addresses"] == ["192.0.2.0/24"]
    assert facts[0].payload["begins"] == keyform.public_part(issued.secret)
    assert facts[1].payload["old_until"] == room.clock.micros() + 60_000_000
    assert "name" not in facts[0].payload


async def test_the_last_use_is_written_once_a_minute(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = await made(room)

    async def last() -> int | None:
        found: ApiKey = (await room.keys.list(ADMIN))[0]
        return found.last_used_at

    for _ in range(3):
        await whose(room, issued.secret)
    await refused(room, issued.secret[:-1])
    assert await last() is None
    used = room.clock.micros()
    await room.clock.advance(30)
    await room.keys.flush()
    assert await last() == used

    async def never(_: object) -> None:
        raise AssertionError("it was written though the key was not used")

    monkeypatch.setattr(room.ground.db, "write", never)
    await room.keys.flush()


async def test_a_repeated_request_makes_one_key_and_shows_no_secret_again(room: Room) -> None:
    wish = Once("k", "f")
    issued = await room.keys.create(ADMIN, name="ci", scopes=[OPERATOR], once=wish)
    with pytest.raises(Refused, match="was shown then") as caught:
        await room.keys.create(ADMIN, name="ci", scopes=[OPERATOR], once=wish)
    assert caught.value.details == {"id": issued.key.id}
    assert issued.secret not in caught.value.message
    assert len(await room.keys.list(ADMIN)) == 1
    with pytest.raises(Mismatch):
        await room.keys.create(ADMIN, name="other", scopes=[OPERATOR], once=Once("k", "g"))
    rotating = Once("r", "f")
    await room.keys.rotate(ADMIN, issued.key.id, once=rotating)
    with pytest.raises(Refused, match="was shown then"):
        await room.keys.rotate(ADMIN, issued.key.id, once=rotating)
    assert len((await room.keys.list(ADMIN))[0].secrets) == 2
