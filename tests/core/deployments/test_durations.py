"""Facts about durations."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg.core.deployments.durations import LONGEST, LONGEST_WAIT, seconds, seconds_or_off, wait


@pytest.mark.parametrize(
    ("written", "length"),
    [
        ("15m", 900.0),
        ("90s", 90.0),
        ("1h30m", 5400.0),
        ("500ms", 0.5),
        ("1h2m3s4ms", 3723.004),
        ("24h", 86400.0),
        ("1d", 86400.0),
        ("0090s", 90.0),
        (30, 30.0),
        (0.25, 0.25),
    ],
)
def test_written_forms(written: object, length: float) -> None:
    assert seconds(written) == pytest.approx(length)


@pytest.mark.parametrize(
    "written",
    [
        *(
            "",
            "m",
            "15",
            "15 m",
            " 15m",
            "15m\n",
            "m15",
            "30m1h",
            "1h1h",
            "-5s",
            "1.5h",
            "15M",
            "١٥m",
            "5s5",
            "1h1d",
            "2d",
        ),
        *(True, False, None, [], {}, "25h", "24h1ms", 86400.001, -1, -0.001, 10**400),
        *(math.nan, math.inf, -math.inf, "9" * 5000 + "s"),
    ],
)
def test_everything_else_is_refused_with_the_form(written: object) -> None:
    for read in (seconds, seconds_or_off):
        with pytest.raises(ValueError, match="must be a duration such as"):
            read(written)


@pytest.mark.parametrize("written", [0, 0.0, "0s", "0h0m"])
def test_zero_is_off_where_that_means_something(written: object) -> None:
    assert seconds_or_off(written) == 0
    with pytest.raises(ValueError, match="over 0"):
        seconds(written)


@pytest.mark.parametrize(
    ("written", "length"),
    [("63h", 226_800.0), ("2d15h", 226_800.0), ("31d", LONGEST_WAIT), (90_000, 90_000.0)],
)
def test_people_and_calendars_may_take_days(written: object, length: float) -> None:
    assert wait(written) == length


@pytest.mark.parametrize("written", [0, "0d", "31d1ms", "32d", LONGEST_WAIT + 1, "soon", None, True])
def test_nothing_waits_for_more_than_a_month(written: object) -> None:
    with pytest.raises(ValueError, match="at most 31d"):
        wait(written)


@given(st.integers(1, int(LONGEST) * 1000))
def test_every_length_comes_back_as_it_was_written(millis: int) -> None:
    rest, ms = divmod(millis, 1000)
    rest, s = divmod(rest, 60)
    h, m = divmod(rest, 60)
    assert seconds(f"{h}h{m}m{s}s{ms}ms") == pytest.approx(millis / 1000)
    assert seconds(millis / 1000) == millis / 1000


@given(st.one_of(st.text(), st.text("0123456789hms. -"), st.floats(), st.integers()))
def test_what_is_read_is_always_within_bounds(written: object) -> None:
    try:
        length = seconds(written)
    except ValueError:
        return
    assert 0 < length <= LONGEST
