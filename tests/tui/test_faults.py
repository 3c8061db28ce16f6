"""What can go wrong on the way to the server: the dashboard goes on, says so, and ends up with what is so."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.tui.between import Between, between
from tests.tui.conftest import House
from tests.tui.house import WITHIN, client, dashboard, deploy, text, until
from tests.tui.painting import watched
from tests.tui.test_actions import asked, head
from textual.pilot import Pilot

from dg.client.app import Client
from dg.client.auth import find
from dg.core.deployments.models import Deployment
from dg.core.types import Environment
from dg.tui.app import Dashboard
from dg.tui.deployments.screen import Deployments as DeploymentsScreen
from dg.tui.feed import LATE
from dg.tui.overview.screen import Overview
from dg.tui.store import ACTIVITY, LinkState
from dg.tui.views import DeploymentView, LaneView
from dg.tui.widgets.panel import Panel

STORM = 1000
"""Facts a second."""


@asynccontextmanager
async def through(house: House, **how: Any) -> AsyncIterator[tuple[Dashboard, Pilot[None], Between]]:
    """The dashboard, live, with a proxy before the server."""
    token = find({}, house.home).token
    with between(house.server.url) as way:
        async with dashboard(lambda: Client(way.url, token), **how) as (app, pilot):
            yield app, pilot, way


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries and looks that follow one another at once."""
    monkeypatch.setattr("dg.tui.feed.PAUSES", (0.05,))
    monkeypatch.setattr("dg.tui.feed.POLL", 0.1)
    monkeypatch.setattr("dg.client.http.FIRST_PAUSE", 0.01)


async def settled(dg: Client) -> Sequence[Deployment]:
    """The deployments when all of them have ended."""
    async with asyncio.timeout(WITHIN):
        while True:
            found = (await dg.deployments.list(limit=200)).items
            if all(DeploymentView.of(each).final for each in found):
                return found
            await asyncio.sleep(0.05)


async def assert_true(house: House, app: Dashboard, pilot: Pilot[Any], seq: int | None = None) -> None:
    """What is shown comes to be what the API says, live, and at the end of the ledger or at `seq`."""
    async with client(house.home) as dg:
        found = await settled(dg)
        lanes = {lane.key: lane for lane in map(LaneView.of, await dg.lanes.list())}
        seq = seq or await head(house.home)
    known = {each.id: (each.status, each.version) for each in map(DeploymentView.of, found)}
    await until(pilot, lambda: app.store.link.live and (app.store.seq or 0) >= seq)
    await until(
        pilot,
        lambda: {each.id: (each.status, each.version) for each in app.store.deployments.values()} == known,
    )
    await until(pilot, lambda: app.store.lanes == lanes)
    await until(pilot, lambda: not app.screen.has_class("-stale"))


async def test_a_way_on_which_nothing_comes_through_is_lost_then_back(
    lived_in: House, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    for name, seconds in (("BEAT", 0.1), ("LATE", 1.0), ("LOST", 2.0)):
        monkeypatch.setattr(f"dg.tui.feed.{name}", seconds)
    async with through(lived_in) as (app, pilot, way):
        form = await asked(app, pilot, "L")
        way.flows.clear()
        await until(pilot, lambda: app.store.link.state is LinkState.DISCONNECTED)
        before = len(way.writes)
        await pilot.press(*"a reason", "enter", "enter", "y")
        await until(pilot, lambda: "not sent: no connection" in text(app.screen))
        assert app.screen is form
        assert len(way.writes) == before
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Overview) and app.screen.has_class("-stale"))
        made = await deploy(lived_in.home, "good", Environment.DEVELOPMENT)
        way.flows.set()
        await until(pilot, lambda: made.id in app.store.deployments)
        await until(pilot, lambda: app.store.deployments[made.id].final)
        await assert_true(lived_in, app, pilot)


def nonsense(method: str, path: str, body: bytes) -> bytes:
    return b"\x00\xff<html>\x1b]0;owned\x07" * 50


def of_another_shape(method: str, path: str, body: bytes) -> bytes:
    return b'{"items": 7, "seq": "x", "at": [], "id": {"a": null}}'


def cut_short(method: str, path: str, body: bytes) -> bytes:
    return body[: len(body) // 2]


def nested(method: str, path: str, body: bytes) -> bytes:
    return b"[" * 100_000


def huge_numbers(method: str, path: str, body: bytes) -> bytes:
    return b'{"seq": 1e999, "at": "99999-12-31T00:00:00Z", "items": [' + b"9" * 5000 + b"]}"


@pytest.mark.parametrize("bend", [nonsense, of_another_shape, cut_short, nested, huge_numbers])
async def test_answers_that_are_none_end_nothing_and_change_nothing(
    lived_in: House, bend: Callable[[str, str, bytes], bytes], quick: None
) -> None:
    async with through(lived_in) as (app, pilot, way):
        known = dict(app.store.deployments)
        way.bend = lambda method, path, body: body if path == "/events" else bend(method, path, body)
        await deploy(lived_in.home, "good", Environment.DEVELOPMENT)
        await until(pilot, lambda: app.store.link.state is LinkState.DISCONNECTED)
        assert known.items() <= app.store.deployments.items()
        await pilot.press("2", "3", "0", "1")
        way.bend = lambda method, path, body: body
        await assert_true(lived_in, app, pilot)


def frame(seq: int, **payload: object) -> bytes:
    """One fact as the event stream has it."""
    fact = {
        "seq": seq,
        "at": "2026-11-26T20:00:00Z",
        "type": "deployment.advanced",
        "actor": "ci",
        "auth": "token",
        "object": "o",
        "payload": {"status": "deploying", **payload},
        "prev": "0" * 64,
        "hash": "1" * 64,
    }
    return f"id: {seq}\ndata: {json.dumps(fact)}\n\n".encode()


FRAMES = {
    "no JSON": b"id: 9000\ndata: {\n\n",
    "no number": b"id: many\n\n",
    "another shape": b'id: 9000\ndata: {"seq": "x"}\n\n',
    "no UTF-8": b"id: 9000\ndata: \xff\xfe\x00\n\n",
    "no end": b"data: " + b"x" * (5 << 20),
    "nested": b"id: 9000\ndata: " + b"[" * 50_000 + b"\n\n",
}


@pytest.mark.parametrize("garbage", FRAMES.values(), ids=FRAMES)
async def test_a_stream_of_garbage_ends_nothing(lived_in: House, garbage: bytes, quick: None) -> None:
    async with through(lived_in) as (app, pilot, way):
        seen = list[LinkState]()
        app.store.on_change = _noting(app, seen)
        heard = threading.Event()

        def bend(method: str, path: str, body: bytes) -> bytes:
            if path != "/events" or heard.is_set():
                return body
            heard.set()
            return body + garbage

        way.bend = bend
        await deploy(lived_in.home, "good", Environment.DEVELOPMENT)
        await until(pilot, heard.is_set)
        await until(pilot, lambda: LinkState.POLLING in seen or LinkState.DISCONNECTED in seen)
        await assert_true(lived_in, app, pilot)


def _noting(app: Dashboard, seen: list[LinkState]) -> Callable[[Any], None]:
    """What hears of changes of the store, and notes each state of the connection on the way."""
    before = app.store.on_change

    def changed(topic: Any) -> None:
        seen.append(app.store.link.state)
        before(topic)

    return changed


@pytest.mark.long
async def test_forty_tries_in_vain_end_nothing(lived_in: House, quick: None) -> None:
    """As many as ten minutes have, at fifteen seconds each."""
    async with through(lived_in) as (app, pilot, way):
        way.refuse = lambda path: (502, b"<html>bad gateway</html>", {"Content-Type": "text/html"})
        await until(pilot, lambda: app.store.link.attempt >= 40)
        assert app.screen.has_class("-stale")
        way.refuse = lambda path: None
        await assert_true(lived_in, app, pilot)


@pytest.mark.long
async def test_a_server_that_has_enough_of_looks_is_there_all_the_same(
    lived_in: House, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    """What a limit refuses was answered: the connection is neither slow nor lost, and asks no more for it."""
    monkeypatch.setattr("dg.tui.feed.BEAT", 0.05)
    async with through(lived_in) as (app, pilot, way):
        seen = list[LinkState]()
        app.store.on_change = _noting(app, seen)
        way.refuse = lambda path: (
            (429, b'{"error": {"code": "VALIDATION_ERROR", "message": "enough"}}', {"Retry-After": "20"})
            if path == "/whoami"
            else None
        )
        before = len(way.asked)
        began = time.monotonic()
        await until(pilot, lambda: time.monotonic() - began > LATE + 1)
        assert app.store.link.live
        assert not {LinkState.SLOW, LinkState.DISCONNECTED} & set(seen)
        looks = [path for _, path in way.asked[before:] if path == "/v1/whoami"]
        assert len(looks) == 1


def storm(first: int, count: int, deployments: Sequence[str]) -> Iterator[bytes]:
    """So many facts, STORM a second, each of a deployment that there is."""
    began = time.monotonic()
    for at in range(count):
        yield frame(first + at, deployment=deployments[at % len(deployments)])
        if at % 50 == 0:
            time.sleep(max(0.0, began + at / STORM - time.monotonic()))


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=pytest.mark.long)])
async def test_a_thousand_facts_a_second_are_taken_and_cost_few_pictures(
    lived_in: House, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    async with client(lived_in.home) as dg:
        ids = [each.id for each in (await dg.deployments.list(limit=200)).items]
    first, count = await head(lived_in.home) + 1, STORM * seconds
    async with through(lived_in, live=False) as (app, pilot, way):
        way.flood = storm(first, count, ids)
        await until(pilot, lambda: app.store.link.live)
        activity = app.screen.query_one("#activity", Panel)
        painted, began = watched(activity, monkeypatch), time.monotonic()
        await until(pilot, lambda: (app.store.seq or 0) > first)
        for keys, kind in (("2", DeploymentsScreen), ("1", Overview)):
            await pilot.press(keys)
            await until(pilot, lambda kind=kind: isinstance(app.screen, kind))  # type: ignore[misc]
        await until(pilot, lambda: app.store.seq == first + count - 1, within=seconds * 10 + 60)
        pictures = 5 * (time.monotonic() - began) + 10
        assert len(painted) <= pictures * activity.size.height
        assert [fact.seq for fact in app.store.activity] == list(
            range(first + count - ACTIVITY, first + count)
        )
        assert len(way.asked) < count / 10
        await assert_true(lived_in, app, pilot, seq=first)
