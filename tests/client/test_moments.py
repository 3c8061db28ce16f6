"""Moments that are over, as people write and read them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from dg.client.moments import clock_at, moment_before, spoken
from dg.core.clock import SECOND, to_micros

BERLIN = ZoneInfo("Europe/Berlin")
NOW = to_micros(datetime(2026, 11, 26, 9, 0, tzinfo=UTC))


def at(text: str) -> int:
    return to_micros(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("08:20", "2026-11-26T08:20:00+01:00"),
        ("8:20:05.25", "2026-11-26T08:20:05.250000+01:00"),
        ("10:00", "2026-11-26T10:00:00+01:00"),
        ("10:01", "2026-11-25T10:01:00+01:00"),
        ("2h", "2026-11-26T07:00:00Z"),
        ("1d12h", "2026-11-24T21:00:00Z"),
        ("2026-11-20 08:20", "2026-11-20T08:20:00+01:00"),
        ("2026-07-20 08:20", "2026-07-20T08:20:00+02:00"),
        ("2026-11-26T08:20:00.000001Z", "2026-11-26T08:20:00.000001Z"),
        ("2026-11-27T08:20:00Z", "2026-11-27T08:20:00Z"),
    ],
)
def test_a_moment_is_meant_in_the_zone_of_who_writes_it(text: str, meant: str) -> None:
    assert moment_before(text, NOW, BERLIN) == at(meant)


@pytest.mark.parametrize("text", ["", "soon", "24:00", "08:60", "8", "2026-13-01", "99999999d"])
def test_what_is_no_moment_is_none(text: str) -> None:
    assert moment_before(text, NOW, BERLIN) is None


def test_the_hour_that_clocks_show_twice_is_the_last_one_that_is_over() -> None:
    between = at("2026-10-25T00:45:00Z")
    after = at("2026-10-25T04:00:00Z")
    assert moment_before("02:30", between, BERLIN) == at("2026-10-25T00:30:00Z")
    assert moment_before("02:30", after, BERLIN) == at("2026-10-25T01:30:00Z")


def test_a_moment_is_read_with_its_zone_and_to_the_second() -> None:
    assert spoken(at("2026-11-26T07:20:00Z"), BERLIN) == "2026-11-26 08:20:00 CET"
    assert spoken(at("2026-11-26T07:20:01Z") - 1, UTC) == "2026-11-26 07:20:00 UTC"
    assert moment_before(spoken(NOW - SECOND, UTC).removesuffix(" UTC"), NOW, UTC) == NOW - SECOND


def test_a_day_is_told_where_it_is_another() -> None:
    assert clock_at(NOW, NOW) == "09:00"
    assert clock_at(NOW - 10 * 3600 * SECOND, NOW) == "2026-11-25 23:00"
