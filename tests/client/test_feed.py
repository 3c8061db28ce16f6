"""The event stream: gapless, without doubles, through every kind of break."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.client import samples
from tests.client.conftest import Connect, InstantClock

from dg.client.app import Client
from dg.client.errors import Unintelligible, Unreachable
from dg.client.feed import Message, messages
from dg.client.models import Event
from dg.core.errors import Forbidden


def sse(*seqs: int) -> str:
    return "".join(
        f"id: {seq}\nevent: deployment.created\ndata: {json.dumps(samples.event(seq))}\n\n" for seq in seqs
    )


def stream(text: str) -> httpx.Response:
    return httpx.Response(200, text=text, headers={"Content-Type": "text/event-stream"})


async def take(client: Client, count: int, after: int | None = None) -> list[int]:
    seen: list[int] = []
    async with aclosing(client.events.follow(after=after)) as facts:
        async for fact in facts:
            seen.append(fact.seq)
            if len(seen) == count:
                break
    return seen


class Server:
    """Each connection gets the next text; what was asked for is kept."""

    def __init__(self, *texts: str | Exception) -> None:
        self.texts = list(texts)
        self.cursors: list[str | None] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.cursors.append(request.headers.get("Last-Event-ID"))
        text = self.texts.pop(0)
        if isinstance(text, Exception):
            raise text
        return stream(text)


async def test_a_broken_stream_goes_on_behind_the_last_fact(connect: Connect) -> None:
    server = Server(sse(1, 2), httpx.ConnectError("refused"), httpx.ConnectError("refused"), sse(3, 4))
    assert await take(connect(server), 4, after=0) == [1, 2, 3, 4]
    assert server.cursors == ["0", "2", "2", "2"]


async def test_half_a_fact_is_asked_for_again(connect: Connect) -> None:
    whole = sse(1, 2)
    server = Server(whole[:-10], sse(2))
    assert await take(connect(server), 2, after=0) == [1, 2]
    assert server.cursors == ["0", "1"]


async def test_a_fact_that_comes_twice_is_told_once(connect: Connect) -> None:
    assert await take(connect(Server(sse(1, 2, 2), sse(1, 2, 3))), 3, after=0) == [1, 2, 3]


async def test_from_now_on_knows_its_place_before_the_first_fact(connect: Connect) -> None:
    server = Server("id: 41\n\n: heartbeat\n\n", sse(42))
    assert await take(connect(server), 1) == [42]
    assert server.cursors == [None, "41"]


async def test_pauses_grow_and_start_over_after_a_fact(connect: Connect, clock: InstantClock) -> None:
    cut = httpx.ReadError("cut")
    await take(connect(Server(cut, cut, cut, cut, sse(1), cut, sse(2))), 2, after=0)
    assert clock.slept[3] > 2 * clock.slept[0]
    assert clock.slept[4] < clock.slept[3]


async def test_it_gives_up_after_two_minutes_without_a_server(connect: Connect) -> None:
    with pytest.raises(Unreachable):
        await take(connect(Server(*[httpx.ConnectError("refused")] * 200)), 1, after=0)


async def test_a_refusal_is_not_tried_again(connect: Connect) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, json=samples.envelope("UNAUTHORIZED", "not you"))

    with pytest.raises(Forbidden, match="not you"):
        await take(connect(handler), 1)


@pytest.mark.parametrize(
    "text", ["id: x\ndata: {}\n\n", "id: 1\ndata: {\n\n", "id: 1\ndata: {}\n\n", "id: 1\ndata: []\n\n"]
)
async def test_something_else_than_facts_is_said_so(connect: Connect, text: str) -> None:
    with pytest.raises(Unintelligible):
        await take(connect(Server(text)), 1, after=0)


async def test_an_answer_that_is_no_stream_is_said_so(connect: Connect) -> None:
    with pytest.raises(Unintelligible):
        await take(connect(lambda request: httpx.Response(200, json={})), 1)


async def test_a_page_of_facts_is_read(connect: Connect) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert dict(request.url.params) == {"after": "1", "limit": "2", "filter": "env=staging"}
        return httpx.Response(200, json={"items": [samples.event(2), samples.event(3)], "next_after": 3})

    page = await connect(handler).events.read(after=1, limit=2, matching="env=staging")
    assert [fact.seq for fact in page.items] == [2, 3]
    assert isinstance(page.items[0], Event)


async def test_all_facts_are_read_page_by_page_past_those_a_filter_leaves_out(connect: Connect) -> None:
    pages = {"0": ([1, 2], 2), "2": ([], 200), "200": ([201], 201), "201": ([], 201)}

    def handler(request: httpx.Request) -> httpx.Response:
        seqs, cursor = pages[request.url.params["after"]]
        return httpx.Response(200, json={"items": [samples.event(seq) for seq in seqs], "next_after": cursor})

    assert [fact.seq async for fact in connect(handler).events.all()] == [1, 2, 201]


async def blocks(parts: Sequence[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(st.integers(0, 10_000), max_size=20), st.sampled_from(["\n", "\r\n"]))
async def test_no_cut_of_the_bytes_changes_what_is_read(places: list[int], ending: str) -> None:
    text = ': hello\n\nid: 1\ndata: {"a":\ndata: "ü\u2028\x85"}\n\nid: 2\n\nretry: 5\ndata:x\n\ndata: lost'
    read = [message async for message in messages(blocks(cut(text.replace("\n", ending).encode(), places)))]
    assert read == [Message("1", '{"a":\n"ü\u2028\x85"}'), Message("2", ""), Message("2", "x")]


async def test_a_line_without_end_is_not_collected_for_ever() -> None:
    with pytest.raises(Unintelligible, match="without end"):
        async for _ in messages(blocks([b"data: "] + [b"x" * 1_000_000] * 5)):
            pass
