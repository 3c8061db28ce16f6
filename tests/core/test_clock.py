"""Time and ids, the machine's and the tests' own."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg.core.clock import Ids, SystemClock, to_datetime, to_micros
from dg.core.testing import NOON, ManualClock, entropy, eventually, settle


def test_the_systems_clock_is_utc_in_microseconds() -> None:
    before = datetime.now(UTC)
    now = to_datetime(SystemClock().micros())
    assert before - timedelta(milliseconds=1) <= now <= datetime.now(UTC)


@given(st.integers(0, 4_000_000_000_000_000))
def test_moments_go_to_datetimes_and_back(micros: int) -> None:
    assert to_micros(to_datetime(micros)) == micros


def test_ids_are_uuids_of_version_seven() -> None:
    made = uuid.UUID(Ids(ManualClock(NOON), entropy()).new())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == NOON // 1000


async def test_ids_are_ordered_by_time_and_differ_within_a_moment() -> None:
    clock = ManualClock()
    ids = Ids(clock)
    made = []
    for _ in range(100):
        made.append(ids.new())
        await clock.advance(0.001)
    assert made == sorted(made)
    assert len({ids.new() for _ in range(1000)}) == 1000


async def test_sleepers_wake_in_the_order_of_their_moments() -> None:
    clock = ManualClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    tasks = [
        asyncio.ensure_future(sleeper(name, seconds)) for name, seconds in (("b", 2), ("a", 1), ("c", 9))
    ]
    await settle()
    assert clock.sleeping == 3
    await clock.advance(5)
    assert woken == [("a", 1), ("b", 2)]
    tasks[2].cancel()
    await settle()
    assert clock.sleeping == 0
    assert clock.micros() == NOON + 5_000_000


async def test_a_jump_of_the_wall_clock_wakes_nobody() -> None:
    clock = ManualClock()
    sleeping = asyncio.ensure_future(clock.sleep(1))
    await settle()
    clock.jump(-3600)
    assert (clock.micros(), clock.monotonic()) == (NOON - 3_600_000_000, 0)
    assert not sleeping.done()
    await clock.advance(1)
    assert sleeping.done()


async def test_waiting_for_what_never_comes_ends() -> None:
    with pytest.raises(TimeoutError):
        await eventually(lambda: False, timeout=0.01)
