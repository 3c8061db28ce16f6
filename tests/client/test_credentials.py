"""A session that a file keeps: refreshed once for all processes of its owner, and never lost on the way."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from tests.client.sessions import URL, Server, tokens

from dg.client.app import Client
from dg.client.auth import Credentials, find
from dg.client.credentials import SessionFile, SignedIn
from dg.client.errors import NoCredential, Unreachable
from dg.core.clock import SystemClock
from dg.core.errors import Unauthenticated, Unavailable
from dg.core.testing import ManualClock, eventually, settle


@pytest.fixture
def file(tmp_path: Path) -> SessionFile:
    found = SessionFile.of(URL, {"XDG_STATE_HOME": str(tmp_path)})
    assert found is not None
    return found


def client(file: SessionFile, server: Server, clock: ManualClock) -> Client:
    return Client(URL, SignedIn(file, clock), transport=httpx.MockTransport(server), clock=clock)


# --- the file


def test_a_session_is_kept_in_a_file_of_its_owners_alone(file: SessionFile, tmp_path: Path) -> None:
    file.write(tokens(1), now=0)
    kept = file.read()
    assert kept is not None
    assert (kept.access_token, kept.refresh_token, kept.session) == ("a1", "r1", tokens(1).session)
    assert kept.renew_at == 540_000_000
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o777 == 0o700
    assert file.path.parent == tmp_path / "dg" / "sessions"


def test_each_server_has_a_file_of_its_own(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    urls = (URL, "https://dg.example.org", "https://dg.example.org:8443", "https://dg.example.org/a/../../b")
    paths = {file.path for url in urls if (file := SessionFile.of(url, environ))}
    assert len(paths) == 4
    assert {path.parent for path in paths} == {tmp_path / "dg" / "sessions"}


def test_without_a_home_directory_there_is_no_file() -> None:
    assert SessionFile.of(URL, {}) is None


def test_a_file_that_others_may_read_or_that_is_damaged_is_not_used(file: SessionFile) -> None:
    assert file.read() is None
    assert not file.is_there()
    file.write(tokens(1), now=0)
    assert file.is_there()
    file.path.chmod(0o640)
    for look in (file.read, file.is_there):
        with pytest.raises(NoCredential, match="open to others"):
            look()
    file.path.chmod(0o600)
    for text in ("{", "[]", "null", "[" * 10_000, '{"url": 1}'):
        file.path.write_text(text)
        for look in (file.read, file.is_there):
            with pytest.raises(NoCredential, match="sign in again"):
                look()
    file.path.write_text(json.dumps({"url": URL, "access_token": 1}))
    with pytest.raises(NoCredential, match="sign in again"):
        file.read()


def test_a_file_for_another_server_is_not_used(file: SessionFile) -> None:
    file.write(tokens(1), now=0)
    other = SessionFile("https://elsewhere.example.org", file.path)
    with pytest.raises(NoCredential):
        other.read()


def test_a_session_goes_before_the_owners_token_and_a_given_token_before_both(
    tmp_path: Path, file: SessionFile
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name, text in (("server.json", json.dumps({"url": URL})), ("local.token", "owner.token")):
        (home / name).write_text(text)
        (home / name).chmod(0o600)
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    assert find(environ, home) == Credentials(URL, "owner.token")
    file.write(tokens(1), now=0)
    found = find(environ, home)
    assert (found.token, found.session and found.session.path) == (None, file.path)
    assert find({**environ, "DG_TOKEN": "given"}, home) == Credentials(URL, "given")
    assert find({}, home) == Credentials(URL, "owner.token")


# --- refreshing


async def test_the_next_tokens_are_fetched_before_the_last_ones_end(file: SessionFile) -> None:
    clock, server = ManualClock(), Server()
    file.write(tokens(0), clock.micros())
    async with client(file, server, clock) as dg:
        await dg.whoami()
        assert (server.used, server.refreshed) == (["a0"], [])
        await clock.advance(541)
        await dg.whoami()
        assert (server.used, server.refreshed) == (["a0", "a1"], ["r0"])
        assert await dg.token() == "a1"
    kept = file.read()
    assert kept is not None
    assert kept.refresh_token == "r1"


async def test_a_token_that_the_server_refuses_is_renewed_once(file: SessionFile) -> None:
    clock, server = ManualClock(), Server(refused={"a0"})
    file.write(tokens(0), clock.micros())
    async with client(file, server, clock) as dg:
        await dg.whoami()
        assert server.used == ["a0", "a1"]
        server.refused = {"a1", "a2"}
        with pytest.raises(Unauthenticated):
            await dg.whoami()
        assert server.refreshed == ["r0", "r1"]


async def test_a_stream_is_renewed_too(file: SessionFile) -> None:
    clock, server = ManualClock(), Server(refused={"a0"})
    file.write(tokens(0), clock.micros())
    async with client(file, server, clock) as dg:
        async for event in dg.events.follow(after=0):
            assert event.seq == 1
            break
    assert server.used == ["a0", "a1"]


async def test_a_token_that_was_given_is_not_renewed() -> None:
    server = Server(refused={"given"})
    async with Client(URL, "given", transport=httpx.MockTransport(server)) as dg:
        with pytest.raises(Unauthenticated):
            await dg.whoami()
    assert (server.used, server.refreshed) == (["given"], [])


async def test_a_session_that_is_over_says_how_to_begin_another(file: SessionFile) -> None:
    clock, server = ManualClock(), Server(over=True)
    file.write(tokens(0), clock.micros() - 600_000_000)
    async with client(file, server, clock) as dg:
        with pytest.raises(NoCredential, match="sign in again with `dg login`") as over:
            await dg.whoami()
    assert over.value.reason == "session_over"


async def test_whoever_is_not_signed_in_any_more_is_told(file: SessionFile) -> None:
    async with client(file, Server(), ManualClock()) as dg:
        with pytest.raises(NoCredential, match="not signed in"):
            await dg.whoami()


async def test_a_refresh_whose_answer_was_lost_is_asked_again(file: SessionFile) -> None:
    clock, server = ManualClock(), Server(lost=1)
    file.write(tokens(0), clock.micros() - 600_000_000)
    async with client(file, server, clock) as dg:
        asking = asyncio.ensure_future(dg.whoami())
        await eventually(lambda: clock.sleeping)
        await clock.advance(5)
        await asking
    assert server.refreshed == ["r0", "r0"]
    assert server.used == ["a1"]


async def test_eight_who_refresh_at_once_ask_once(file: SessionFile) -> None:
    server = Server(slow=0.05)
    file.write(tokens(0), SystemClock().micros() - 600_000_000)

    async def look() -> None:
        clock = SystemClock()
        async with Client(URL, SignedIn(file, clock), transport=httpx.MockTransport(server)) as dg:
            await dg.whoami()

    await asyncio.gather(*(look() for _ in range(8)))
    assert server.refreshed == ["r0"]
    assert server.used == ["a1"] * 8


async def test_one_that_hangs_keeps_the_others_waiting_for_a_while_only(file: SessionFile) -> None:
    clock = ManualClock()
    file.write(tokens(0), clock.micros() - 600_000_000)
    async with file.lock(clock), client(file, Server(), clock) as dg:
        asking = asyncio.ensure_future(dg.whoami())
        while not asking.done():
            await eventually(lambda: clock.sleeping or asking.done())
            await clock.advance(1)
        with pytest.raises(Unavailable, match="another dg command"):
            await asking


async def test_tokens_that_arrive_after_ctrl_c_are_kept(file: SessionFile) -> None:
    server = Server(slow=0.1)
    file.write(tokens(0), SystemClock().micros() - 600_000_000)
    async with Client(URL, SignedIn(file, SystemClock()), transport=httpx.MockTransport(server)) as dg:
        asking = asyncio.ensure_future(dg.whoami())
        await eventually(lambda: server.refreshed)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    kept = file.read()
    assert kept is not None
    assert kept.refresh_token == "r1"
    assert server.used == []


async def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "dg").write_text("in the way")
    file = SessionFile(URL, tmp_path / "dg" / "sessions" / "x.json")
    with pytest.raises(NoCredential, match="DG_TOKEN"):
        file.write(tokens(1), now=0)


async def test_a_server_that_is_away_is_said_to_be(file: SessionFile) -> None:
    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    clock = ManualClock()
    file.write(tokens(0), clock.micros() - 600_000_000)
    async with Client(URL, SignedIn(file, clock), transport=httpx.MockTransport(away), clock=clock) as dg:
        asking = asyncio.ensure_future(dg.whoami())
        while not asking.done():
            await settle()
            await clock.advance(5)
        with pytest.raises(Unreachable):
            await asking
