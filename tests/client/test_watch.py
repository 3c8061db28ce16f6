"""Following a deployment: its progress and its log, through a server's restart."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.client import samples
from tests.client.conftest import Connect, InstantClock

from dg.client.errors import Unreachable
from dg.core.deployments.models import Status


def answers(*bodies: object) -> Iterator[httpx.Response]:
    for body in bodies:
        if isinstance(body, Exception):
            raise body
        yield httpx.Response(200, json=body)


def page(*texts: str, first: int = 0, **changed: object) -> dict[str, object]:
    items = [
        {"seq": first + index, "at": "2026-11-26T07:00:00Z", "step": 0, "text": text}
        for index, text in enumerate(texts)
    ]
    return {"items": items, "next_seq": first + len(items), "complete": False, **changed}


async def test_watching_ends_with_the_deployment(connect: Connect, clock: InstantClock) -> None:
    script = answers(samples.progress(), samples.progress(80), samples.progress(100, "success"))
    client = connect(lambda request: next(script))
    seen = [progress async for progress in client.deployments.watch(samples.ID, every=0.5)]
    assert [progress.progress for progress in seen] == [40, 80, 100]
    assert seen[-1].deployment.status is Status.SUCCESS
    assert clock.slept == [0.5, 0.5]


async def test_watching_outlives_a_server_that_restarts(connect: Connect) -> None:
    calls = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        if 2 <= calls <= 20:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json=samples.progress(status="building" if calls == 1 else "failed"))

    seen = [progress async for progress in connect(handler).deployments.watch(samples.ID)]
    assert [progress.deployment.status for progress in seen] == [Status.BUILDING, Status.FAILED]


async def test_watching_gives_up_when_the_server_stays_away(connect: Connect, clock: InstantClock) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    start = clock.now
    with pytest.raises(Unreachable):
        async for _ in connect(handler).deployments.watch(samples.ID):
            pass
    assert 120 <= clock.now - start <= 140


async def test_a_log_is_followed_to_its_end(connect: Connect) -> None:
    script = answers(page("a", "b"), page(first=2), page("c", first=2, complete=True))
    asked: list[tuple[str, float]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.params["after"], request.extensions["timeout"]["read"]))
        return next(script)

    pages = [page async for page in connect(handler).deployments.follow_logs(samples.ID)]
    assert [line.text for page in pages for line in page.items] == ["a", "b", "c"]
    assert [after for after, _ in asked] == ["0", "2", "2"]
    assert all(timeout > 20 for _, timeout in asked)


async def test_what_there_is_of_a_log_is_read_without_waiting_for_more(connect: Connect) -> None:
    script = answers(page("a", "b"), page("c", first=2), page(first=3))
    client = connect(lambda request: next(script))
    pages = [page async for page in client.deployments.all_logs(samples.ID)]
    assert [line.text for page in pages for line in page.items] == ["a", "b", "c"]


async def test_the_raw_log_comes_byte_by_byte_as_it_is(connect: Connect) -> None:
    raw = b"\x1b[31mred\xff\r\n"

    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["Accept"] == "text/plain"
        return httpx.Response(200, content=raw)

    assert b"".join([block async for block in connect(handler).deployments.raw_logs(samples.ID)]) == raw
