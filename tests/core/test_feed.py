"""The feed: what a caller sees of the ledger, without gaps, and the proof against an anchor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from shutil import copyfile

import pytest
from tests.core.access.room import access_to
from tests.core.vandal import damage

from dg.core.access.models import Principal
from dg.core.anchors import Anchors
from dg.core.database import Tx
from dg.core.errors import Forbidden, Invalid, Unavailable
from dg.core.events import DeploymentCreated, Fact, FreezeSet, LaneLocked, ServerStarted, TokenRevoked
from dg.core.feed import Feed, open_feed
from dg.core.ledger import Entry
from dg.core.testing import Ground, eventually, open_ground, person

ADMIN = person("admin", name="ada")


def created(environment: str = "staging", service: str = "shop", version: str = "1") -> DeploymentCreated:
    return DeploymentCreated(
        deployment="d",
        service=service,
        environment=environment,
        kind="deploy",
        version=version,
        commit="a" * 40,
    )


class Stand:
    """A feed over an open home."""

    def __init__(self, ground: Ground, feed: Feed) -> None:
        self.ground = ground
        self.feed = feed
        self.anchor_file = ground.home.path / "anchors.jsonl"

    async def say(self, *facts: Fact, by: Principal = ADMIN) -> None:
        def work(tx: Tx) -> None:
            for fact in facts:
                tx.append(fact, by)

        await self.ground.db.write(work)


async def stand_on(ground: Ground, *, anchored: bool = True) -> Stand:
    access = await access_to(ground)
    file = ground.home.path / "anchors.jsonl" if anchored else None
    feed = await open_feed(
        ground.db, access=access, bus=ground.bus, clock=ground.clock, anchors=Anchors(file)
    )
    return Stand(ground, feed)


@pytest.fixture
async def stand(tmp_path: Path, database_url: str | None) -> AsyncIterator[Stand]:
    async with open_ground(tmp_path, url=database_url) as ground:
        yield await stand_on(ground)


def types(entries: tuple[Entry, ...] | list[Entry]) -> list[str]:
    return [entry.type for entry in entries]


# --- who sees what


async def test_who_has_no_grant_may_not_read(stand: Stand) -> None:
    nobody = Principal(id="x", name="x")
    with pytest.raises(Forbidden):
        await stand.feed.read(nobody)
    with pytest.raises(Forbidden):
        stand.feed.stream(nobody, after=0)
    with pytest.raises(Forbidden):
        await stand.feed.head(nobody)
    with pytest.raises(Forbidden):
        await stand.feed.verify(nobody)


async def test_a_narrowed_viewer_may_not_check_the_whole_ledger(stand: Stand) -> None:
    with pytest.raises(Forbidden):
        await stand.feed.verify(person("viewer", environment="staging"))
    assert (await stand.feed.verify(person("viewer"))).ok


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7]),
        ({"environment": "staging"}, [1, 3, 7]),
        ({"service": "shop"}, [1, 2, 5, 7]),
        ({"environment": "staging", "service": "shop"}, [1, 7]),
        ({"environment": "production", "service": "wiki"}, [7]),
    ],
)
async def test_one_sees_what_ones_grant_reaches_and_what_one_did(
    stand: Stand, scope: dict[str, str], expected: list[int]
) -> None:
    viewer = person("viewer", name="vera", **scope)  # type: ignore[arg-type]
    await stand.say(
        created("staging", "shop"),
        created("production", "shop"),
        LaneLocked(service="blog", environment="staging", reason="r", automatic=False, until=1),
        FreezeSet(freeze="f", reason="r", until=1),
        FreezeSet(freeze="f", reason="r", until=1, service="shop"),
        TokenRevoked(token="t"),
    )
    await stand.say(ServerStarted(version="by herself"), by=viewer)
    read = await stand.feed.read(viewer)
    assert [entry.seq for entry in read] == expected
    everything = await stand.feed.read(ADMIN)
    assert [entry.seq for entry in everything if stand.feed.visible(viewer, entry)] == expected


async def test_two_grants_reach_both(stand: Stand) -> None:
    one, two = person("viewer", environment="staging"), person("operator", service="blog")
    both = Principal(id="b", name="b", grants=one.grants + two.grants)
    await stand.say(created("staging"), created("production"), created("production", "blog"))
    assert [entry.seq for entry in await stand.feed.read(both)] == [1, 3]


# --- pages


async def test_pages_go_on_after_a_cursor(stand: Stand) -> None:
    await stand.say(*(created(version=str(n)) for n in range(10)))
    first = await stand.feed.read(ADMIN, limit=4)
    rest = await stand.feed.read(ADMIN, after=first[-1].seq)
    assert [entry.seq for entry in first + rest] == list(range(1, 11))
    assert await stand.feed.read(ADMIN, after=10) == ()


async def test_a_page_is_full_though_much_is_not_visible(stand: Stand) -> None:
    await stand.say(*(created("production") for _ in range(50)), created("staging"), created("staging"))
    viewer = person("viewer", environment="staging")
    assert [entry.seq for entry in await stand.feed.read(viewer, limit=2)] == [51, 52]


async def test_events_are_filtered(stand: Stand) -> None:
    await stand.say(created("staging"), created("production", "blog"), ServerStarted(version="1"))
    ana = person("operator", name="ana")
    await stand.say(created("staging", "wiki", version="needle"), by=ana)
    for text, expected in {
        "type=deployment.created": [1, 2, 4],
        "type~server": [3],
        "env=production": [2],
        "service!=shop": [2, 3, 4],
        f"actor={ana.id}": [4],
        "needle": [4],
        "age<1m": [1, 2, 3, 4],
    }.items():
        assert [entry.seq for entry in await stand.feed.read(ADMIN, filter=text)] == expected, text


@pytest.mark.parametrize("text", ["colour=red", "/x/"])
async def test_a_bad_filter_is_refused_before_anything_streams(stand: Stand, text: str) -> None:
    with pytest.raises(Invalid):
        await stand.feed.read(ADMIN, filter=text)
    with pytest.raises(Invalid):
        stand.feed.stream(ADMIN, after=0, filter=text)


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_a_page_has_bounds(stand: Stand, limit: int) -> None:
    with pytest.raises(Invalid, match="limit"):
        await stand.feed.read(ADMIN, limit=limit)


# --- streams


async def take(stream: AsyncIterator[Entry], count: int) -> list[Entry]:
    """The next `count` entries; fails after 10 s."""
    async with asyncio.timeout(10):
        return [await anext(stream) for _ in range(count)]


async def test_a_stream_has_no_gap_between_what_was_and_what_comes(stand: Stand) -> None:
    total = 1500
    seen: list[int] = []

    async def writing() -> None:
        for _ in range(total // 10):
            await stand.say(*(created() for _ in range(10)))

    writer = asyncio.ensure_future(writing())
    await eventually(lambda: stand.feed.sighting.seq > 100)
    async with asyncio.timeout(30), aclosing(stand.feed.stream(ADMIN, after=50)) as stream:  # type: ignore[type-var]
        async for entry in stream:
            seen.append(entry.seq)
            if entry.seq == total:
                break
    await writer
    assert seen == list(range(51, total + 1))


async def test_a_stream_from_now_begins_when_it_was_asked_for(stand: Stand) -> None:
    await stand.say(created(version="before"))
    stream = stand.feed.stream(ADMIN, after=None)
    await stand.say(created(version="between"))
    asyncio.get_running_loop().call_later(0.01, asyncio.ensure_future, stand.say(created(version="after")))
    assert [entry.payload["version"] for entry in await take(stream, 2)] == ["between", "after"]


async def test_a_stream_from_now_begins_there_after_a_restart_too(
    tmp_path: Path, database_url: str | None
) -> None:
    async with open_ground(tmp_path, url=database_url) as ground:
        await (await stand_on(ground)).say(created(version="old"))
    async with open_ground(tmp_path, url=database_url) as ground:
        stand = await stand_on(ground)
        stream = stand.feed.stream(ADMIN, after=None)
        await stand.say(created(version="new"))
        assert [entry.payload["version"] for entry in await take(stream, 1)] == ["new"]


async def test_a_stream_shows_only_what_may_be_seen_and_is_wanted(stand: Stand) -> None:
    viewer = person("viewer", environment="staging")
    stream = stand.feed.stream(viewer, after=0, filter="service=shop")
    await stand.say(created("production"), created("staging", "blog"), created("staging"))
    (entry,) = await take(stream, 1)
    assert entry.seq == 3


async def test_a_stream_ends_when_the_core_closes(stand: Stand) -> None:
    await stand.say(created())
    stream = stand.feed.stream(ADMIN, after=0)
    await take(stream, 1)
    ending = asyncio.ensure_future(anext(stream, None))
    await asyncio.sleep(0)
    stand.ground.bus.close()
    assert await asyncio.wait_for(ending, 30) is None


async def test_a_stream_that_is_left_leaves_nothing_behind(stand: Stand) -> None:
    before = len(stand.ground.bus._subscribers)
    await stand.say(created())
    async with aclosing(stand.feed.stream(ADMIN, after=0)) as stream:  # type: ignore[type-var]
        await take(stream, 1)
        assert len(stand.ground.bus._subscribers) == before + 1
    assert len(stand.ground.bus._subscribers) == before


async def test_a_subscriber_hears_everything(stand: Stand) -> None:
    heard: list[str] = []
    end = stand.feed.subscribe(lambda entries: heard.extend(entry.type for entry in entries))
    await stand.say(created(), ServerStarted(version="1"))
    end()
    await stand.say(created())
    assert heard == ["deployment.created", "server.started"]


# --- the proof


async def test_a_whole_ledger_is_whole_over_many_pages(stand: Stand) -> None:
    for _ in range(3):
        await stand.say(*(created() for _ in range(900)))
    verdict = await stand.feed.verify(ADMIN)
    assert (verdict.ok, verdict.checked) == (True, 2700)
    head = await stand.feed.head(ADMIN)
    assert (head.seq, head.hash) == (verdict.head_seq, verdict.head_hash)


async def test_a_check_beside_writers_is_not_fooled(stand: Stand) -> None:
    async def writing() -> None:
        for _ in range(50):
            await stand.say(created())

    writer = asyncio.ensure_future(writing())
    verdicts = [await stand.feed.verify(ADMIN) for _ in range(20)]
    await writer
    assert all(verdict.ok for verdict in verdicts)


async def test_an_anchor_is_appended_when_there_is_news(stand: Stand) -> None:
    await stand.feed.anchor()
    for _ in range(2):
        await stand.say(created(), created())
        await stand.feed.anchor()
        await stand.feed.anchor()
    lines = [json.loads(line) for line in stand.anchor_file.read_text().splitlines()]
    assert [line["seq"] for line in lines] == [2, 5]
    assert lines[0]["at"] == "2026-09-21T14:13:20Z"
    anchored = await stand.feed.read(ADMIN, filter="type=ledger.anchored")
    assert [(entry.payload["head_seq"], entry.payload["head_hash"]) for entry in anchored] == [
        (line["seq"], line["hash"]) for line in lines
    ]
    assert (await stand.feed.verify(ADMIN)).ok


async def test_without_an_anchor_file_nothing_is_anchored(tmp_path: Path, database_url: str | None) -> None:
    async with open_ground(tmp_path, url=database_url) as ground:
        stand = await stand_on(ground, anchored=False)
        await stand.say(created())
        await stand.feed.anchor()
        assert (await stand.feed.head(ADMIN)).seq == 1
        assert (await stand.feed.verify(ADMIN)).ok


async def test_only_the_anchor_sees_a_cut_end_whose_head_was_set_back(stand: Stand) -> None:
    await stand.say(*(created() for _ in range(10)))
    await stand.feed.anchor()
    damage(
        stand.ground,
        "DELETE FROM ledger WHERE seq > 7;"
        "UPDATE ledger_head SET seq = 7, hash = (SELECT hash FROM ledger WHERE seq = 7);",
    )
    verdict = await stand.feed.verify(ADMIN)
    assert (verdict.ok, verdict.bad_seq) == (False, 10)
    assert "is missing now" in verdict.message
    stand.anchor_file.unlink()
    assert (await stand.feed.verify(ADMIN)).ok


async def test_only_the_anchor_sees_a_ledger_written_anew(stand: Stand, tmp_path: Path) -> None:
    await stand.say(*(created() for _ in range(5)))
    await stand.feed.anchor()
    async with open_ground(tmp_path / "forgery") as ground:
        forgery = await stand_on(ground, anchored=False)
        await forgery.say(*(created(version="9") for _ in range(8)))
        forged = await stand_on(ground)
        copyfile(stand.anchor_file, forged.anchor_file)
        verdict = await forged.feed.verify(ADMIN)
    assert (verdict.ok, verdict.bad_seq) == (False, 5)
    assert "has another hash now" in verdict.message


@pytest.mark.parametrize("line", ["{", "[]", '{"seq": 1}', '{"seq": 1, "hash": "x", "at": "y", "z": 1}'])
async def test_an_anchor_file_that_cannot_be_read_is_no_proof(stand: Stand, line: str) -> None:
    await stand.say(created())
    stand.anchor_file.write_text(line + "\n")
    with pytest.raises(Unavailable, match=r"anchors\.jsonl"):
        await stand.feed.verify(ADMIN)
