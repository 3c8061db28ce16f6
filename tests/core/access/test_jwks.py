"""The published keys: when they are fetched, what is believed, and what goes on without them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.clerk import (
    Answer,
    Instance,
    KeyServer,
    drip_headers,
    hang,
    jwk,
    liars,
    never_end,
    pem,
    publishing,
    respond,
    rsa_key,
)
from tests.tls import make_certificate

from dg.core.access.jwks import FRESH, PAUSE, PAUSE_WITHOUT, STALE, PinnedKey, PublishedKeys, usable_keys
from dg.core.errors import Refused, Unavailable
from dg.core.http import Outbound
from dg.core.tasks import open_tasks
from dg.core.testing import ManualClock, eventually, settle
from dg.settings.tree import Outbound as Settings

INSTANCE = Instance("https://clerk.example.org")
LOOPBACK = Outbound(Settings(allow=("127.0.0.1",)))


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with publishing() as server:
        server.publish(INSTANCE.jwks())
        yield server


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def keys(server: KeyServer, clock: ManualClock) -> AsyncIterator[PublishedKeys]:
    async with open_tasks() as tasks:
        yield PublishedKeys(server.url, LOOPBACK, clock, tasks, patience=1.0)


async def fetched(keys: PublishedKeys) -> None:
    """Wait for the fetch that runs."""
    if fetching := keys.refresh():
        await asyncio.wait([fetching])


async def knows(keys: PublishedKeys, kid: str = "ins_1") -> bool:
    return await keys.find(kid) is not None


async def test_many_who_ask_at_once_wait_for_one_fetch(keys: PublishedKeys, server: KeyServer) -> None:
    assert all(await asyncio.gather(*(knows(keys) for _ in range(50))))
    assert server.fetches == 1


async def test_one_who_leaves_does_not_end_the_fetch_of_the_others(
    keys: PublishedKeys, server: KeyServer
) -> None:
    first, second = (asyncio.ensure_future(knows(keys)) for _ in range(2))
    await settle()
    first.cancel()
    assert await second
    assert server.fetches == 1


async def test_fresh_keys_are_not_asked_for_again(
    keys: PublishedKeys, server: KeyServer, clock: ManualClock
) -> None:
    await knows(keys)
    await clock.advance(FRESH - 1)
    assert await knows(keys)
    assert server.fetches == 1


async def test_an_unknown_id_asks_once_in_half_a_minute(
    keys: PublishedKeys, server: KeyServer, clock: ManualClock
) -> None:
    await knows(keys)
    for at in range(100):
        assert not await knows(keys, f"unknown-{at}")
    assert server.fetches == 1
    await clock.advance(PAUSE)
    assert not any(await asyncio.gather(*(knows(keys, f"unknown-{at}") for at in range(100))))
    assert server.fetches == 2


async def test_a_new_key_is_found_and_makes_another_generation(
    keys: PublishedKeys, server: KeyServer, clock: ManualClock
) -> None:
    await knows(keys)
    before = keys.generation
    server.publish({"keys": [jwk("ins_1", rsa_key()), jwk("ins_2", rsa_key("second"))]})
    await clock.advance(PAUSE)
    assert await knows(keys, "ins_2")
    assert await knows(keys, "ins_1")
    assert keys.generation == before + 1


async def test_the_same_keys_again_are_the_same_generation(
    keys: PublishedKeys, server: KeyServer, clock: ManualClock
) -> None:
    await knows(keys)
    before = keys.generation
    await clock.advance(FRESH)
    await knows(keys)
    await fetched(keys)
    assert (server.fetches, keys.generation) == (2, before)


async def test_a_withdrawn_key_is_nobodys_after_the_next_fetch(
    keys: PublishedKeys, server: KeyServer, clock: ManualClock
) -> None:
    await knows(keys)
    server.publish({"keys": [jwk("ins_2", rsa_key("second"))]})
    await clock.advance(FRESH)
    await knows(keys)
    await fetched(keys)
    assert not await knows(keys)


async def test_known_keys_never_wait_for_a_fetch(
    keys: PublishedKeys, server: KeyServer, clock: ManualClock
) -> None:
    await knows(keys)
    server.answer = hang
    await clock.advance(FRESH)
    async with asyncio.timeout(10):
        assert all([await knows(keys) for _ in range(100)])
    await fetched(keys)
    assert server.fetches == 2


async def test_known_keys_are_used_for_a_day_without_their_place(
    keys: PublishedKeys, server: KeyServer, clock: ManualClock
) -> None:
    await knows(keys)
    server.answer = respond(b"", "503 Service Unavailable")
    for _ in range(23):
        await clock.advance(3600)
        assert await knows(keys)
        await fetched(keys)
    assert keys.state == "not renewed"
    await clock.advance(STALE - 23 * 3600)
    with pytest.raises(Unavailable):
        await keys.find("ins_1")
    assert keys.state == "too old"
    server.publish(INSTANCE.jwks())
    await clock.advance(PAUSE_WITHOUT)
    assert await knows(keys)
    assert keys.state == "ok"


async def test_without_any_keys_it_is_the_keys_that_are_missing(
    keys: PublishedKeys, server: KeyServer, clock: ManualClock
) -> None:
    server.answer = respond(b"", "503 Service Unavailable")
    for _ in range(20):
        with pytest.raises(Unavailable):
            await keys.find("ins_1")
    assert (server.fetches, keys.state) == (1, "never fetched")
    server.publish(INSTANCE.jwks())
    await clock.advance(PAUSE_WITHOUT)
    assert await knows(keys)


@pytest.mark.parametrize("behaviour", [hang, drip_headers, never_end])
async def test_a_server_that_does_not_end_is_left_and_the_loop_goes_on(
    keys: PublishedKeys, server: KeyServer, clock: ManualClock, behaviour: Answer
) -> None:
    await knows(keys)
    server.answer = behaviour
    await clock.advance(PAUSE)
    turns, waiting = 0, asyncio.ensure_future(knows(keys, "unknown"))
    async with asyncio.timeout(10):
        while not waiting.done():
            await asyncio.sleep(0.001)
            turns += 1
    assert not await waiting
    # What never ends is left as soon as it is too long, and what is silent when the patience is over.
    assert turns > 20 or behaviour is never_end
    assert await knows(keys)


@pytest.mark.parametrize("lie", sorted(liars(INSTANCE)))
async def test_a_lie_changes_nothing(
    keys: PublishedKeys, server: KeyServer, clock: ManualClock, lie: str
) -> None:
    await knows(keys)
    before = keys.generation
    server.answer = liars(INSTANCE)[lie]
    await clock.advance(FRESH)
    await knows(keys)
    await fetched(keys)
    assert server.fetches == 2
    assert keys.state == "not renewed"
    assert await knows(keys)
    assert keys.generation == before


async def test_a_redirect_is_not_followed(keys: PublishedKeys, server: KeyServer) -> None:
    with publishing() as elsewhere:
        elsewhere.publish(INSTANCE.jwks())
        server.answer = respond(b"", "302 Found", f"location: {elsewhere.url}")
        with pytest.raises(Unavailable):
            await keys.find("ins_1")
        assert elsewhere.fetches == 0


async def test_no_proxy_of_the_environment_is_used_and_nothing_is_told(
    server: KeyServer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with publishing() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with open_tasks() as tasks:
            assert await knows(PublishedKeys(server.url, LOOPBACK, clock, tasks))
        assert proxy.fetches == 0
    assert "authorization" not in server.asked[0].lower()
    assert "cookie" not in server.asked[0].lower()


async def test_a_server_must_prove_its_name(tmp_path: Path, clock: ManualClock) -> None:
    certificate = make_certificate(tmp_path)
    with publishing(certificate) as server:
        server.publish(INSTANCE.jwks())
        async with open_tasks() as tasks:
            with pytest.raises(Unavailable):
                await PublishedKeys(server.url, LOOPBACK, clock, tasks).find("ins_1")
            believing = Outbound(Settings(allow=("127.0.0.1",), ca_file=certificate[0]))
            assert await knows(PublishedKeys(server.url, believing, clock, tasks))
        assert server.fetches == 1


async def test_keys_that_lead_inside_are_not_asked_for(server: KeyServer, clock: ManualClock) -> None:
    async with open_tasks() as tasks:
        with pytest.raises(Unavailable):
            await PublishedKeys(server.url, Outbound(Settings()), clock, tasks).find("ins_1")
    assert server.fetches == 0


async def test_what_a_server_says_cannot_act_in_the_log(
    keys: PublishedKeys, server: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = lambda connection: connection.sendall(b"HTTP/1.1 200 \x1b[2J\x07" + b"A" * 5000 + b"\r\n")
    with pytest.raises(Unavailable):
        await keys.find("ins_1")
    await eventually(lambda: caplog.records)
    assert all(
        len(record.getMessage()) < 400 and "\x1b" not in record.getMessage() for record in caplog.records
    )


def test_other_kinds_of_keys_stand_beside_without_harm() -> None:
    entries = [
        {"kty": "EC", "kid": "e", "crv": "P-256", "x": "AQAB", "y": "AQAB"},
        jwk("enc", rsa_key(), use="enc"),
        jwk("ins_1", rsa_key()),
    ]
    assert list(usable_keys(json.dumps({"keys": entries}).encode())) == ["ins_1"]


async def test_a_pinned_key_is_read_from_a_file_and_answers_to_any_id(tmp_path: Path) -> None:
    file = tmp_path / "clerk.pem"
    file.write_bytes(pem(rsa_key()))
    found = await PinnedKey(file).find("whatever")
    assert found is not None
    assert found.public_numbers() == rsa_key().public_key().public_numbers()


@pytest.mark.parametrize("content", [b"", b"<html>", pem(rsa_key("weak", 1024)), None])
def test_a_file_that_pins_nothing_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "clerk.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Refused, match="pem_file"):
        PinnedKey(file)
