"""The bus: everybody is told in order, and a bell rings for who waits."""

from __future__ import annotations

import asyncio

import pytest

from dg.core.bus import Bus
from dg.core.ledger import GENESIS, Entry


def entry(seq: int, type_: str = "server.started") -> Entry:
    return Entry(seq, 0, type_, "system", "system", "", None, None, {}, GENESIS, "h")


def test_everybody_is_told_in_order() -> None:
    bus = Bus()
    seen: list[tuple[str, int]] = []
    bus.subscribe(lambda entries: seen.append(("a", entries[0].seq)))
    bus.subscribe(lambda entries: seen.append(("b", entries[0].seq)))
    bus.publish([entry(1)])
    bus.publish([entry(2)])
    assert seen == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]


def test_who_unsubscribed_hears_no_more_even_if_twice() -> None:
    bus = Bus()
    seen: list[int] = []
    end = bus.subscribe(lambda entries: seen.append(entries[0].seq))
    bus.publish([entry(1)])
    end()
    end()
    bus.publish([entry(2)])
    assert seen == [1]


def test_one_may_unsubscribe_while_being_told() -> None:
    bus = Bus()
    seen: list[str] = []

    def once(_: object) -> None:
        seen.append("once")
        end()

    end = bus.subscribe(once)
    bus.subscribe(lambda _: seen.append("always"))
    bus.publish([entry(1)])
    bus.publish([entry(2)])
    assert seen == ["once", "always", "always"]


def test_a_failing_subscriber_keeps_nobody_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    bus = Bus()
    seen: list[int] = []

    def broken(_: object) -> None:
        raise RuntimeError("broken")

    bus.subscribe(broken)
    bus.subscribe(lambda entries: seen.append(entries[0].seq))
    bus.publish([entry(7)])
    assert seen == [7]
    assert "events from 7 on" in caplog.text


async def test_a_bell_rings_once_for_many_commits() -> None:
    bus = Bus()
    with bus.doorbell(lambda _: True) as bell:
        for seq in range(1, 100):
            bus.publish([entry(seq)])
        assert await bell.wait() is True
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bell.wait(), 0.01)


async def test_a_bell_rings_for_what_is_wanted_only() -> None:
    bus = Bus()
    with bus.doorbell(lambda found: found.type == "token.created") as bell:
        bus.publish([entry(1)])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bell.wait(), 0.01)
        bus.publish([entry(2), entry(3, "token.created")])
        assert await bell.wait() is True


async def test_closing_ends_who_waits_and_who_comes_later() -> None:
    bus = Bus()
    with bus.doorbell(lambda _: True) as bell:
        waiting = asyncio.ensure_future(bell.wait())
        await asyncio.sleep(0)
        bus.close()
        assert await asyncio.wait_for(waiting, 30) is False
    with bus.doorbell(lambda _: True) as bell:
        assert await asyncio.wait_for(bell.wait(), 30) is False


def test_a_bell_that_is_gone_leaves_nothing_behind() -> None:
    bus = Bus()
    with bus.doorbell(lambda _: True):
        pass
    assert bus._subscribers == []
    assert bus._bells == set()
