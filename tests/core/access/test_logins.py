"""How a program is let in: who may, as whom, and what it does not get by asking often."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from tests.core.access.room import Room
from tests.core.access.signing_in import (
    ADMIN,
    DAY,
    HERE,
    approve,
    asked,
    signed_in,
    signed_in_by_oneself,
    whose,
)
from tests.core.vandal import content

from dg.core.access.models import Grant, Origin, Principal, Role
from dg.core.access.sessions import LoginState
from dg.core.errors import Forbidden, Invalid, NotFound, Refused, TooMany, Unauthenticated
from dg.core.idempotency import Once
from dg.core.testing import person

OPERATOR = [Grant(role="operator")]


# --- who may not


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
async def test_without_a_session_only_an_administrator_lets_somebody_in(room: Room, role: Role) -> None:
    _, code = await asked(room)
    caller = person(role)
    for work in (
        room.logins.get(caller, code),
        approve(room, caller, code),
        approve(room, caller, code, person="ana", grants=[Grant(role="viewer")]),
        room.logins.deny(caller, code),
    ):
        with pytest.raises(Forbidden):
            await work
    assert (await room.logins.get(ADMIN, code)).state is LoginState.PENDING


async def test_nobody_lets_themselves_in_with_a_token_of_their_own(room: Room) -> None:
    """A token would outlive itself by the session that it approves."""
    issued = await room.tokens.create(ADMIN, name="ana", role="operator", kind="person", person="ana")
    ana = await room.access.authenticate(issued.secret)
    _, code = await asked(room)
    with pytest.raises(Forbidden):
        await approve(room, ana, code)


async def test_whoever_signed_in_lets_nobody_else_in(room: Room) -> None:
    ana = await whose(room, await signed_in(room))
    _, code = await asked(room)
    with pytest.raises(Forbidden):
        await approve(room, ana, code, person="ben", grants=[Grant(role="viewer")])


async def test_an_administrator_of_staging_gives_nothing_beyond_it(room: Room) -> None:
    narrow = person("admin", environment="staging")
    device, code = await asked(room)
    for grant in (Grant(role="viewer"), Grant(role="viewer", environment="production")):
        with pytest.raises(Forbidden, match="admin on staging"):
            await approve(room, narrow, code, person="ana", grants=[grant])
    given = Grant(role="operator", environment="staging", service="shop")
    await approve(room, narrow, code, person="ana", grants=[given])
    assert (await room.logins.collect(device)).session.grants == (given,)


async def test_who_may_give_less_than_somebody_has_lets_nobody_in_as_them(room: Room) -> None:
    ana = await whose(room, await signed_in(room, role="viewer"))
    narrow = person("admin", environment="staging", service="shop")
    given = Grant(role="viewer", environment="staging", service="shop")
    _, code = await asked(room)
    with pytest.raises(Forbidden):
        await approve(room, narrow, code, person="Ana", grants=[given])
    with pytest.raises(Forbidden):
        await room.tokens.create(
            narrow,
            name="x",
            role="viewer",
            kind="person",
            environment="staging",
            service="shop",
            person="ana",
        )
    own = narrow.model_copy(update={"id": ana.id})
    await approve(room, own, code, person="ana", grants=[given])


async def test_nobody_gives_their_own_session_more_than_it_has(room: Room) -> None:
    ana = await whose(room, await signed_in(room))
    device, code = await asked(room)
    with pytest.raises(Forbidden):
        await approve(room, ana, code, grants=[Grant(role="admin")])
    less = [Grant(role="viewer", environment="staging")]
    await approve(room, ana, code, grants=less)
    assert (await room.logins.collect(device)).session.grants == tuple(less)


async def test_what_comes_on_top_of_a_session_is_not_handed_on_by_it(room: Room) -> None:
    ana = await whose(room, await signed_in(room, role="viewer"))
    raised = ana.model_copy(update={"grants": (*ana.grants, Grant(role="admin"))})
    device, code = await asked(room)
    await approve(room, raised, code)
    assert (await room.logins.collect(device)).session.grants == (Grant(role="viewer"),)


# --- being let in


async def test_somebody_new_is_let_in_as_who_an_administrator_says(room: Room) -> None:
    device, code = await asked(room)
    login = await room.logins.get(ADMIN, code)
    assert (login.name, login.host, login.address) == ("ana", "laptop", HERE.address)
    with pytest.raises(Refused) as waiting:
        await room.logins.collect(device)
    assert waiting.value.reason == "authorization_pending"
    await approve(room, ADMIN, code, person="Ana", grants=OPERATOR)
    await room.clock.advance(5)
    tokens = await room.logins.collect(device)
    ana = await whose(room, tokens)
    assert (ana.name, ana.kind, ana.method, ana.grants) == ("Ana", "person", "session", tuple(OPERATOR))
    assert (ana.session, ana.expires_at) == (tokens.session.id, tokens.session.expires_at)
    assert tokens.session.approved_by == ADMIN.id
    assert tokens.expires_in == 600


async def test_what_happened_is_in_the_ledger_without_names_and_addresses(room: Room) -> None:
    tokens = await signed_in(room)
    (added,) = await room.facts("person.added")
    (approved,) = await room.facts("login.approved")
    (started,) = await room.facts("session.started")
    assert added.actor == approved.actor == ADMIN.id
    assert approved.payload == {
        "login": approved.object,
        "person": tokens.session.person,
        "grants": ["operator"],
    }
    assert (started.actor, started.auth) == (tokens.session.person, "session")
    assert started.object == tokens.session.id
    for entry in (added, approved, started):
        assert not {"ana", "laptop", HERE.address} & {str(value) for value in entry.payload.values()}


async def test_no_code_and_no_token_is_kept(room: Room) -> None:
    device, code = await asked(room)
    await approve(room, ADMIN, code, person="ana", grants=OPERATOR)
    tokens = await room.logins.collect(device)
    await room.sessions.refresh(tokens.refresh_token)
    kept = content(room.ground)
    assert tokens.session.id.encode() in kept
    secrets = (device[4:], code, code.replace("-", ""), tokens.refresh_token[4:], tokens.access_token)
    assert [secret for secret in secrets if secret.encode() in kept] == []


async def test_a_name_that_reads_alike_is_the_same_person(room: Room) -> None:
    one = await signed_in(room, "ana")
    two = await signed_in(room, "ＡＮＡ\u00ad")
    assert one.session.person == two.session.person
    assert two.session.name == "ana"
    assert len(await room.facts("person.added")) == 1


async def test_a_session_lets_another_of_the_same_person_in_that_lasts_no_longer(room: Room) -> None:
    first = await signed_in(room)
    await room.clock.advance(2 * DAY)
    first = await room.sessions.refresh(first.refresh_token)
    second = await signed_in_by_oneself(room, first)
    assert (second.session.person, second.session.grants) == (first.session.person, first.session.grants)
    assert second.session.expires_at == first.session.expires_at
    assert second.session.approved_in == first.session.id


async def test_ones_own_name_means_oneself(room: Room) -> None:
    ana = await whose(room, await signed_in(room))
    device, code = await asked(room)
    await approve(room, ana, code, person="ANA")
    assert (await room.logins.collect(device)).session.person == ana.id


async def test_a_login_approved_in_a_session_that_is_revoked_is_denied(room: Room) -> None:
    first = await signed_in(room)
    device, code = await asked(room)
    ana = await whose(room, first)
    await approve(room, ana, code)
    await room.sessions.revoke(ADMIN, first.session.id)
    with pytest.raises(Forbidden) as denied:
        await room.logins.collect(device)
    assert denied.value.reason == "access_denied"


async def test_a_login_that_was_denied_gets_nothing(room: Room) -> None:
    device, code = await asked(room)
    assert (await room.logins.deny(ADMIN, code)).state is LoginState.DENIED
    with pytest.raises(Forbidden) as denied:
        await room.logins.collect(device)
    assert denied.value.reason == "access_denied"
    with pytest.raises(Refused, match="decided on already"):
        await approve(room, ADMIN, code, person="ana", grants=OPERATOR)


async def test_a_login_is_decided_on_once(room: Room) -> None:
    _, code = await asked(room)
    wish = Once("key", "print")
    first = await approve(room, ADMIN, code, person="ana", grants=OPERATOR, key=wish)
    again = await approve(room, ADMIN, code, person="ana", grants=OPERATOR, key=wish)
    assert first == again
    with pytest.raises(Refused) as refused:
        await approve(room, ADMIN, code, person="ben", grants=[Grant(role="admin")])
    assert refused.value.reason == "already_decided"


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("grants", {"person": "ana"}),
        ("person", {"grants": OPERATOR}),
        ("person", {"grants": OPERATOR, "person": "\u00ad"}),
        ("person", {"grants": OPERATOR, "person": "a\x1b[31m"}),
        ("grants", {"grants": OPERATOR * 21, "person": "ana"}),
    ],
)
async def test_an_approval_says_who_it_is_and_what_they_may(
    room: Room, field: str, options: dict[str, object]
) -> None:
    _, code = await asked(room)
    with pytest.raises(Invalid, match=f"^{field}:"):
        await approve(room, ADMIN, code, **options)  # type: ignore[arg-type]


async def test_what_a_program_calls_itself_cannot_act_on_a_terminal(room: Room) -> None:
    device = await room.logins.ask(HERE, name="ana\x1b[2J\u202e", host="h" * 1000)
    login = await room.logins.get(ADMIN, device.user_code)
    assert login.name == "ana␛[2J�"
    assert len(login.host) == 100


# --- what runs out, and what comes twice


async def test_a_login_that_nobody_decides_on_runs_out(room: Room) -> None:
    device, code = await asked(room)
    await room.clock.advance(600)
    with pytest.raises(NotFound):
        await approve(room, ADMIN, code, person="ana", grants=OPERATOR)
    with pytest.raises(Unauthenticated) as over:
        await room.logins.collect(device)
    assert over.value.reason == "expired_token"


async def test_an_approval_that_is_not_used_runs_out(room: Room) -> None:
    device, code = await asked(room)
    await approve(room, ADMIN, code, person="ana", grants=OPERATOR)
    await room.clock.advance(600)
    with pytest.raises(Unauthenticated):
        await room.logins.collect(device)


async def test_a_device_code_gives_the_same_answer_again_for_a_moment(room: Room) -> None:
    """The first answer may have been lost."""
    device, code = await asked(room)
    await approve(room, ADMIN, code, person="ana", grants=OPERATOR)
    first = await room.logins.collect(device)
    await room.clock.advance(20)
    again = await room.logins.collect(device)
    assert again.refresh_token == first.refresh_token
    assert again.session.id == first.session.id
    assert len(await room.facts("session.started")) == 1


async def test_a_device_code_that_comes_later_ends_the_session(room: Room) -> None:
    device, code = await asked(room)
    await approve(room, ADMIN, code, person="ana", grants=OPERATOR)
    tokens = await room.logins.collect(device)
    await room.clock.advance(31)
    with pytest.raises(Unauthenticated):
        await room.logins.collect(device)
    with pytest.raises(Unauthenticated):
        await whose(room, tokens)
    (fact,) = await room.facts("session.reuse_detected")
    assert fact.payload == {"session": tokens.session.id, "person": tokens.session.person, "alert": True}


async def test_a_device_code_is_used_up_with_the_first_refresh(room: Room) -> None:
    device, code = await asked(room)
    await approve(room, ADMIN, code, person="ana", grants=OPERATOR)
    tokens = await room.logins.collect(device)
    await room.sessions.refresh(tokens.refresh_token)
    await room.clock.advance(6)
    with pytest.raises(Unauthenticated):
        await room.logins.collect(device)
    assert await room.facts("session.reuse_detected")


async def test_programs_that_collect_at_once_begin_one_session(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, code = await asked(room)
    await approve(room, ADMIN, code, person="ana", grants=OPERATOR)
    monkeypatch.setattr(room.logins._polls, "check", lambda _: 5.0)
    found = await asyncio.gather(*(room.logins.collect(device) for _ in range(8)))
    assert len({tokens.refresh_token for tokens in found}) == 1
    assert len(await room.facts("session.started")) == 1


# --- asking too often


async def test_a_program_that_asks_too_often_must_wait_longer_each_time(room: Room) -> None:
    device, code = await asked(room)
    with pytest.raises(Refused):
        await room.logins.collect(device)
    for expected in (10, 15, 20):
        with pytest.raises(TooMany) as slower:
            await room.logins.collect(device)
        assert (slower.value.reason, slower.value.details["retry_after"]) == ("slow_down", expected)
    await approve(room, ADMIN, code, person="ana", grants=OPERATOR)
    await room.clock.advance(10)
    with pytest.raises(TooMany):
        await room.logins.collect(device)
    await room.clock.advance(25)
    assert (await room.logins.collect(device)).session.name == "ana"


async def test_a_flood_of_polls_does_not_reach_the_database(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, _ = await asked(room)
    with pytest.raises(Refused):
        await room.logins.collect(device)
    monkeypatch.setattr(room.logins, "_db", None)
    for _ in range(500):
        with pytest.raises(TooMany):
            await room.logins.collect(device)


async def test_whoever_guesses_codes_is_stopped_before_they_find_one(room: Room) -> None:
    _, code = await asked(room)
    for _ in range(10):
        with pytest.raises(NotFound):
            await room.logins.get(ADMIN, "BCDF-BCDF")
    with pytest.raises(TooMany) as stopped:
        await room.logins.get(ADMIN, code)
    assert stopped.value.reason == "too_many_tries"
    assert (await room.logins.get(person("admin", name="eve"), code)).state is LoginState.PENDING
    await room.clock.advance(61)
    assert (await room.logins.get(ADMIN, code)).state is LoginState.PENDING


async def test_guesses_are_counted_by_address_too_whoever_one_is(room: Room) -> None:
    _, code = await asked(room)

    def admin(number: int) -> Principal:
        origin = Origin(address=f"2001:db8::{number:x}")
        return person("admin", name=f"a{number}").model_copy(update={"origin": origin})

    for number in range(10):
        with pytest.raises(NotFound):
            await approve(room, admin(number), "bcdf-bcdf", person="x", grants=OPERATOR)
    with pytest.raises(TooMany):
        await room.logins.get(admin(11), code)


async def test_one_address_begins_a_few_logins_only(room: Room) -> None:
    for _ in range(20):
        await asked(room)
    with pytest.raises(TooMany) as stopped:
        await asked(room)
    assert stopped.value.details["retry_after"] == 30
    await asked(room, Origin(address="198.51.100.1"))
    await room.clock.advance(30)
    await asked(room)


async def test_no_more_logins_wait_than_there_is_room_for(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dg.core.access.service.logins._WAITING", 3)
    for number in range(3):
        await asked(room, Origin(address=f"198.51.100.{number}"))
    with pytest.raises(TooMany) as full:
        await asked(room, Origin(address="198.51.100.9"))
    assert full.value.reason == "too_many_logins"
    await room.clock.advance(600)
    await asked(room)


async def test_who_fills_the_room_keeps_nobody_out(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dg.core.access.service.logins._WAITING", 4)
    crowd, newcomer = Origin(address="2001:db8::1"), Origin(address="198.51.100.9")
    (first, _), *_ = [await asked(room, crowd) for _ in range(4)]
    device, code = await asked(room, newcomer)
    with pytest.raises(Unauthenticated):
        await room.logins.collect(first)
    await approve(room, person("admin"), code, person="ada", grants=OPERATOR)
    assert (await room.logins.collect(device)).access_token
    for number in range(2, 9):
        # Neighbours of one network are one crowd.
        with suppress(TooMany):
            await asked(room, Origin(address=f"2001:db8::{number}"))
    await asked(room, newcomer)


async def test_a_code_of_another_home_is_no_code(room: Room) -> None:
    with pytest.raises(Unauthenticated) as unknown:
        await room.logins.collect("dgd_" + "A" * 43)
    assert unknown.value.reason == "expired_token"
