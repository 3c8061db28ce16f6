"""Sessions: refreshed once, stolen never for long, ended by time or by a person."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path

import pytest
from tests.core.access.room import Room, enter
from tests.core.access.signing_in import ADMIN, DAY, approve, asked, signed_in, signed_in_by_oneself, whose

from dg.core.access.keys import session_key
from dg.core.access.models import GIVEN, SYSTEM, Action, Grant, Principal, Role
from dg.core.access.sessions import RevokedWhy, SessionTokens
from dg.core.access.standing import standing
from dg.core.errors import Forbidden, NotFound, Refused, Unauthenticated
from dg.core.testing import ManualClock, open_ground, person
from dg.settings.access import Access as AccessSettings

HOUR = 3600.0


async def is_over(room: Room, tokens: SessionTokens) -> bool:
    """Whether neither token opens anything."""
    with pytest.raises(Unauthenticated):
        await whose(room, tokens)
    with pytest.raises(Unauthenticated):
        await room.sessions.refresh(tokens.refresh_token)
    return True


# --- refreshing


async def test_a_refresh_gives_the_next_tokens_of_the_same_person(room: Room) -> None:
    first = await signed_in(room)
    await room.clock.advance(HOUR)
    with pytest.raises(Unauthenticated):
        await whose(room, first)
    second = await room.sessions.refresh(first.refresh_token)
    assert second.refresh_token != first.refresh_token
    assert (await whose(room, second)).id == first.session.person
    assert second.session.expires_at == first.session.expires_at
    assert second.session.refreshed_at == room.clock.micros()


async def test_an_access_token_opens_until_its_minutes_are_over(room: Room) -> None:
    tokens = await signed_in(room)
    await room.clock.advance(600)
    await whose(room, tokens)
    await room.clock.advance(6)
    with pytest.raises(Unauthenticated):
        await whose(room, tokens)


async def test_a_lost_answer_is_given_again(room: Room) -> None:
    first = await signed_in(room)
    second = await room.sessions.refresh(first.refresh_token)
    await room.clock.advance(30)
    again = await room.sessions.refresh(first.refresh_token)
    assert again.refresh_token == second.refresh_token
    await whose(room, again)
    third = await room.sessions.refresh(again.refresh_token)
    assert third.refresh_token != second.refresh_token


async def test_eight_who_refresh_at_once_get_one_and_the_same_token(room: Room) -> None:
    first = await signed_in(room)
    found = await asyncio.gather(*(room.sessions.refresh(first.refresh_token) for _ in range(8)))
    assert len({tokens.refresh_token for tokens in found}) == 1
    assert not await room.facts("session.reuse_detected")
    await whose(room, await room.sessions.refresh(found[0].refresh_token))


# --- stolen tokens


async def test_a_token_replayed_after_its_owner_used_it_ends_the_session(room: Room) -> None:
    stolen = await signed_in(room)
    owner = await room.sessions.refresh(stolen.refresh_token)
    await room.clock.advance(31)
    with pytest.raises(Unauthenticated):
        await room.sessions.refresh(stolen.refresh_token)
    assert await is_over(room, owner)
    (fact,) = await room.facts("session.reuse_detected")
    assert (fact.actor, fact.object) == (SYSTEM.id, stolen.session.id)
    assert fact.payload["alert"] is True
    (revoked,) = await room.facts("session.revoked")
    assert revoked.payload["why"] == "reused"


async def test_a_token_used_by_a_thief_first_ends_with_its_owners_next_try(room: Room) -> None:
    owner = await signed_in(room)
    thief = await room.sessions.refresh(owner.refresh_token)
    await room.clock.advance(300)
    thief = await room.sessions.refresh(thief.refresh_token)
    with pytest.raises(Unauthenticated):
        await room.sessions.refresh(owner.refresh_token)
    assert await is_over(room, thief)


async def test_owner_and_thief_who_came_at_once_are_found_out_at_the_next_refresh(room: Room) -> None:
    stolen = await signed_in(room)
    owner, thief = await asyncio.gather(*(room.sessions.refresh(stolen.refresh_token) for _ in range(2)))
    await room.clock.advance(500)
    owner = await room.sessions.refresh(owner.refresh_token)
    await room.clock.advance(100)
    with pytest.raises(Unauthenticated):
        await room.sessions.refresh(thief.refresh_token)
    assert await is_over(room, owner)


async def test_an_older_token_is_not_forgiven_even_at_once(room: Room) -> None:
    first = await signed_in(room)
    second = await room.sessions.refresh(first.refresh_token)
    third = await room.sessions.refresh(second.refresh_token)
    with pytest.raises(Unauthenticated):
        await room.sessions.refresh(first.refresh_token)
    assert await is_over(room, third)


async def test_eight_who_replay_at_once_are_one_theft(room: Room) -> None:
    stolen = await signed_in(room)
    await room.sessions.refresh(stolen.refresh_token)
    await room.clock.advance(31)
    tries = [room.sessions.refresh(stolen.refresh_token) for _ in range(8)]
    found = await asyncio.gather(*tries, return_exceptions=True)
    assert all(isinstance(each, Unauthenticated) for each in found)
    assert len(await room.facts("session.reuse_detected")) == 1
    assert len(await room.facts("session.revoked")) == 1


async def test_the_whole_family_ends_with_a_stolen_token_and_nobody_elses(room: Room) -> None:
    stolen = await signed_in(room)
    child = await signed_in_by_oneself(room, stolen)
    grandchild = await signed_in_by_oneself(room, child)
    another = await signed_in(room)
    await room.sessions.refresh(stolen.refresh_token)
    await room.clock.advance(31)
    with pytest.raises(Unauthenticated):
        await room.sessions.refresh(stolen.refresh_token)
    for tokens in (stolen, child, grandchild):
        assert await is_over(room, tokens)
    await whose(room, another)
    kept = {session.id: session.revoked_why for session in await room.sessions.list(ADMIN)}
    assert kept[grandchild.session.id] is RevokedWhy.REUSED
    assert kept[another.session.id] is None


async def test_whom_a_thief_let_in_as_an_administrator_is_let_out_again(room: Room) -> None:
    stolen = await signed_in(room, "ada", "admin")
    let_in = await signed_in(room, "eve", by=await whose(room, stolen))
    await room.sessions.refresh(stolen.refresh_token)
    await room.clock.advance(31)
    with pytest.raises(Unauthenticated):
        await room.sessions.refresh(stolen.refresh_token)
    assert await is_over(room, let_in)


async def test_a_forged_token_ends_nobodys_session(room: Room) -> None:
    tokens = await signed_in(room)
    forged = room.sessions._codes._refresh(tokens.session.id, 0, b"x" * 16)
    for shown in (forged, tokens.refresh_token[:-1], "dgr_", tokens.access_token, "\ud800"):
        with pytest.raises(Unauthenticated):
            await room.sessions.refresh(shown)
    await whose(room, await room.sessions.refresh(tokens.refresh_token))
    assert not await room.facts("session.reuse_detected")


async def test_a_token_of_another_home_is_refused(room: Room, tmp_path: Path) -> None:
    async with open_ground(tmp_path / "other", room.clock) as ground:
        other = await enter(ground, room.clock, room.settings)
        tokens = await signed_in(other)
        assert await is_over(room, tokens)


async def test_a_refresh_token_from_the_future_is_refused_and_ends_nothing(room: Room) -> None:
    """After a restore from a backup the clients are ahead of the server."""
    tokens = await signed_in(room)
    shown = room.sessions._codes.read(tokens.refresh_token)
    assert shown is not None
    with pytest.raises(Unauthenticated):
        await room.sessions.refresh(room.sessions._codes.after(shown))
    await room.sessions.refresh(tokens.refresh_token)


async def test_neither_kind_of_token_passes_for_the_other(room: Room) -> None:
    tokens = await signed_in(room)
    issuer, now = room.sessions._issuer, room.clock.micros() // 10**6
    sign = functools.partial(issuer.sign, issued_at=now, expires_at=now + 60)
    plain = sign(subject=tokens.session.person, token_id=tokens.session.id)
    with pytest.raises(Unauthenticated):
        await room.access.authenticate(plain)
    for subject, session in ((tokens.session.person, "none"), ("somebody", tokens.session.id), ("local", "")):
        other = sign(subject=subject, token_id="x", session=session)
        with pytest.raises(Unauthenticated):
            await room.access.authenticate(other)
    header, claims, signature = plain.split(".")
    access = tokens.access_token.split(".")
    for mixed in ([access[0], claims, signature], [header, access[1], access[2]]):
        with pytest.raises(Unauthenticated):
            await room.access.authenticate(".".join(mixed))


# --- time


async def test_a_session_that_is_not_used_ends(room: Room) -> None:
    tokens = await signed_in(room)
    await room.clock.advance(3 * DAY)
    assert await is_over(room, tokens)
    assert not await room.facts("session.reuse_detected")


async def test_a_session_that_is_used_every_day_ends_after_a_month(room: Room) -> None:
    tokens = await signed_in(room)
    for _ in range(29):
        await room.clock.advance(DAY)
        tokens = await room.sessions.refresh(tokens.refresh_token)
    await room.clock.advance(DAY - 60)
    tokens = await room.sessions.refresh(tokens.refresh_token)
    assert tokens.expires_in == 60
    await room.clock.advance(66)
    assert await is_over(room, tokens)


async def test_a_clock_that_jumps_forward_ends_what_it_passes(room: Room) -> None:
    tokens = await signed_in(room)
    room.clock.jump(31 * DAY)
    assert await is_over(room, tokens)


async def test_a_clock_set_back_gives_a_thief_no_more_time(room: Room) -> None:
    stolen = await signed_in(room)
    owner = await room.sessions.refresh(stolen.refresh_token)
    room.clock.jump(-HOUR)
    with pytest.raises(Unauthenticated):
        await room.sessions.refresh(stolen.refresh_token)
    assert await is_over(room, owner)


async def test_a_clock_set_back_a_little_forgives_a_lost_answer(room: Room) -> None:
    first = await signed_in(room)
    second = await room.sessions.refresh(first.refresh_token)
    room.clock.jump(-3)
    assert (await room.sessions.refresh(first.refresh_token)).refresh_token == second.refresh_token


# --- revoking


async def test_a_revoked_session_opens_nothing_at_once(room: Room) -> None:
    tokens = await signed_in(room)
    await whose(room, tokens)
    revoked = await room.sessions.revoke(ADMIN, tokens.session.id)
    assert (revoked.revoked_at, revoked.revoked_why) == (room.clock.micros(), RevokedWhy.REVOKED)
    assert await is_over(room, tokens)
    assert await room.sessions.revoke(ADMIN, tokens.session.id) == revoked
    assert len(await room.facts("session.revoked")) == 1


async def test_nobody_ends_the_last_administrator_s_session_but_themselves(room: Room) -> None:
    tokens = await signed_in(room, role="admin")
    ana = await whose(room, tokens)
    actions = frozenset({Action.SESSION_READ, Action.SESSION_REVOKE, *GIVEN[Role.ADMIN]})
    keeper = Principal(id="keeper", name="keeper", kind="service", grants=(Grant(role="k", actions=actions),))
    with pytest.raises(Refused) as caught:
        await room.sessions.revoke(keeper, tokens.session.id)
    assert caught.value.reason == "last_admin"
    assert (await whose(room, tokens)).id == ana.id
    await room.sessions.revoke(ana, tokens.session.id)
    with pytest.raises(Unauthenticated):
        await whose(room, tokens)


async def test_a_revoked_session_takes_no_other_along(room: Room) -> None:
    first = await signed_in(room)
    second = await signed_in_by_oneself(room, first)
    ana = await whose(room, first)
    await room.sessions.revoke(ana, first.session.id)
    assert await is_over(room, first)
    await whose(room, second)


async def test_everybody_ends_their_own_sessions_and_nobody_elses(room: Room) -> None:
    ana, ben = await signed_in(room, "ana"), await signed_in(room, "ben")
    other = await signed_in(room, "ana")
    caller = await whose(room, ana)
    assert {session.id for session in await room.sessions.list(caller)} == {ana.session.id, other.session.id}
    await room.sessions.revoke(caller, other.session.id)
    with pytest.raises(Forbidden) as hidden:
        await room.sessions.revoke(caller, ben.session.id)
    with pytest.raises(Forbidden) as absent:
        await room.sessions.revoke(caller, "0" * 8)
    assert hidden.value.message == absent.value.message
    await whose(room, ben)


async def test_an_administrator_of_staging_sees_only_sessions_within_it(room: Room) -> None:
    narrow = person("admin", environment="staging")
    device, code = await asked(room)
    grants = [Grant(role="viewer", environment="staging"), Grant(role="viewer", environment="production")]
    await approve(room, ADMIN, code, person="ana", grants=grants)
    wide = await room.logins.collect(device)
    device, code = await asked(room)
    await approve(room, narrow, code, person="ben", grants=grants[:1])
    inside = await room.logins.collect(device)
    assert [session.id for session in await room.sessions.list(narrow)] == [inside.session.id]
    with pytest.raises(NotFound):
        await room.sessions.revoke(narrow, wide.session.id)
    await room.sessions.revoke(narrow, inside.session.id)


async def test_sessions_outlive_a_restart_and_so_does_their_end(
    tmp_path: Path, database_url: str | None
) -> None:
    clock = ManualClock()
    async with open_ground(tmp_path, clock, url=database_url) as ground:
        room = await enter(ground, clock, AccessSettings())
        kept, revoked, used = [await signed_in(room, name) for name in ("ana", "ben", "cleo")]
        await room.sessions.revoke(ADMIN, revoked.session.id)
        after = await room.sessions.refresh(used.refresh_token)
    async with open_ground(tmp_path, clock, url=database_url) as ground:
        room = await enter(ground, clock, AccessSettings())
        await whose(room, kept)
        assert await is_over(room, revoked)
        again = await room.sessions.refresh(used.refresh_token)
        assert again.refresh_token == after.refresh_token


async def test_what_ended_long_ago_is_forgotten(room: Room) -> None:
    await signed_in(room)
    await room.clock.advance(60 * DAY)
    living = await signed_in(room)
    await room.clock.advance(2 * DAY)
    living = await room.sessions.refresh(living.refresh_token)
    await room.sessions.prune(30 * DAY)
    assert [session.id for session in await room.sessions.list(ADMIN)] == [living.session.id]


def test_the_key_of_sessions_is_made_once_and_never_used_when_others_may_read_it(tmp_path: Path) -> None:
    key = session_key(tmp_path)
    assert (len(key), session_key(tmp_path)) == (32, key)
    file = tmp_path / "sessions.key"
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    with pytest.raises(Refused, match="others may read it"):
        session_key(tmp_path)
    file.chmod(0o600)
    file.write_text("not hexadecimal")
    with pytest.raises(Refused, match="32 bytes"):
        session_key(tmp_path)


# --- one person


async def test_all_sessions_and_tokens_of_a_person_are_one_principal(room: Room) -> None:
    session = await whose(room, await signed_in(room))
    issued = await room.tokens.create(ADMIN, name="ci laptop", role="approver", kind="person", person="Ana")
    token = await room.access.authenticate(issued.secret)
    assert (token.id, token.name, token.method) == (session.id, "ana", "token")
    assert token.grants == (Grant(role="approver"),)


async def test_a_person_may_by_now_what_their_sessions_and_tokens_still_give(room: Room) -> None:
    tokens = await signed_in(room)
    issued = await room.tokens.create(ADMIN, name="t", role="approver", kind="person", person="ana")
    someone = tokens.session.person

    async def rights() -> set[str]:
        now = room.clock.micros()
        found = await room.ground.db.read(lambda tx: standing(tx, [someone], now))
        return {grant.role for grant in found[someone].grants} if someone in found else set()

    assert await rights() == {"operator", "approver"}
    await room.clock.advance(4 * DAY)
    assert await rights() == {"operator", "approver"}, "a session that idles ends for its machine's sake"
    await room.sessions.revoke(ADMIN, tokens.session.id)
    assert await rights() == {"approver"}
    await room.tokens.revoke(ADMIN, issued.token.id)
    assert await rights() == set()
