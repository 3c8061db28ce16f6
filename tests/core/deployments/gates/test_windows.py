"""Facts about change windows, most of them over the nights on which clocks are set."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dg.core.clock import to_datetime, to_micros
from dg.core.deployments.gates.windows import HORIZON, Standing, Window, never_open, standing

MINUTE = 60_000_000
HOUR = 60 * MINUTE
BERLIN = "Europe/Berlin"


def micros(text: str, zone: str = BERLIN, *, fold: int = 0) -> int:
    """When the clocks of `zone` show `text`; `fold=1` the second time in autumn."""
    return to_micros(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold))


def shown(at: int | None, zone: str = BERLIN) -> str | None:
    return None if at is None else f"{to_datetime(at).astimezone(ZoneInfo(zone)):%a %H:%M %z}"


def deny(schedule: str, length: str, zone: str = BERLIN, **more: str) -> Window:
    return Window.model_validate({"deny": schedule, "for": length, "tz": zone, **more})


def allow(schedule: str, length: str, zone: str = BERLIN, **more: str) -> Window:
    return Window.model_validate({"allow": schedule, "for": length, "tz": zone, **more})


def judge(at: int, *windows: Window) -> Standing:
    return standing([windows], at)


# --- what is open ---------------------------------------------------------------------------------


def test_without_windows_it_is_open_and_stays_so() -> None:
    assert standing([], 0) == standing([()], 0) == Standing(open=True)


def test_a_deny_window_closes_until_it_ends() -> None:
    weekend = deny("0 17 * * FRI", "63h")
    friday = judge(micros("2026-05-08 16:59"), weekend)
    assert friday.open
    assert shown(friday.closes_at) == "Fri 17:00 +0200"
    saturday = judge(micros("2026-05-09 12:00"), weekend)
    assert (saturday.open, saturday.closed_by) == (False, (weekend,))
    assert shown(saturday.opens_at) == "Mon 08:00 +0200"
    assert judge(micros("2026-05-11 08:00"), weekend).open


def test_an_allow_window_closes_all_other_time() -> None:
    office = allow("0 9 * * MON-FRI", "8h")
    assert judge(micros("2026-05-08 09:00"), office).open
    assert shown(judge(micros("2026-05-08 09:00"), office).closes_at) == "Fri 17:00 +0200"
    evening = judge(micros("2026-05-08 17:00"), office)
    assert (evening.open, evening.closed_by) == (False, (office,))
    assert shown(evening.opens_at) == "Mon 09:00 +0200"


def test_deny_wins_over_allow() -> None:
    lunch = deny("0 12 * * *", "1h")
    noon = judge(micros("2026-05-08 12:30"), allow("0 9 * * MON-FRI", "8h"), lunch)
    assert noon.closed_by == (lunch,)
    assert shown(noon.opens_at) == "Fri 13:00 +0200"


def test_one_of_several_allow_windows_is_enough_within_a_calendar() -> None:
    morning, evening = allow("0 9 * * *", "1h"), allow("0 20 * * *", "1h")
    assert judge(micros("2026-05-08 20:30"), morning, evening).open
    assert shown(judge(micros("2026-05-08 12:00"), morning, evening).opens_at) == "Fri 20:00 +0200"


def test_a_second_calendar_opens_nothing_that_the_first_keeps_closed() -> None:
    own, always = allow("0 9 * * TUE", "2h"), allow("0 0 * * *", "1d")
    monday = standing([[own], [always]], micros("2026-05-11 10:00"))
    assert (monday.open, monday.closed_by) == (False, (own,))
    assert shown(monday.opens_at) == "Tue 09:00 +0200"


def test_windows_that_touch_or_overlap_are_one() -> None:
    for windows in (
        [deny("* 18-19 * * *", "1m")],
        [deny("*/30 18-19 * * *", "45m"), deny("0 20 * * *", "1m")],
        [deny("0 18 * * *", "1h"), deny("0 19 * * *", "1h")],
    ):
        closed = judge(micros("2026-05-08 18:10"), *windows)
        assert shown(closed.opens_at) in {"Fri 20:00 +0200", "Fri 20:15 +0200"}
        assert standing([windows], closed.opens_at or 0).open


def test_a_window_longer_than_its_period_never_ends() -> None:
    assert judge(micros("2026-05-08 18:10"), deny("0 3 * * *", "25h")) == Standing(
        open=False, closed_by=(deny("0 3 * * *", "25h"),)
    )
    assert judge(micros("2026-05-08 18:10"), allow("*/5 * * * *", "7m")).closes_at is None


def test_a_window_may_begin_in_one_year_and_end_in_the_next() -> None:
    holidays = deny("0 18 23 12 *", "10d", reason="holidays")
    assert shown(judge(micros("2026-12-31 23:59"), holidays).opens_at) == "Sat 18:00 +0100"


def test_a_day_that_comes_after_the_horizon_is_not_in_sight() -> None:
    leap = judge(micros("2026-05-08 00:00"), allow("0 0 29 2 *", "1d"))
    assert (leap.open, leap.opens_at) == (False, None)


def test_windows_that_leave_no_time_are_known() -> None:
    assert never_open([deny("0 0 * * *", "24h")])
    assert never_open([deny("0 9 * * *", "1h"), allow("0 9 * * *", "1h")])
    assert never_open([deny("*/2 * * * *", "1m"), allow("*/2 * * * *", "1m")])
    assert not never_open([allow("0 0 29 2 *", "1h")])
    assert not never_open([deny("0 0 * * *", "1439m")])
    assert not never_open([])


# --- the nights on which clocks are set -----------------------------------------------------------
# Berlin: 2026-03-29 02:00 becomes 03:00, 2026-10-25 03:00 becomes 02:00.


def test_a_weekend_ends_at_the_same_hour_whichever_clocks_were_set() -> None:
    weekend = deny("0 17 * * FRI", "63h")
    for friday, end, hours in (
        ("2026-03-27 17:00", "Mon 08:00 +0200", 62),
        ("2026-05-08 17:00", "Mon 08:00 +0200", 63),
        ("2026-10-23 17:00", "Mon 08:00 +0100", 64),
    ):
        opens_at = judge(micros(friday), weekend).opens_at
        assert shown(opens_at) == end
        assert (opens_at or 0) - micros(friday) == hours * HOUR


def test_a_whole_day_is_23_and_25_hours_long() -> None:
    sunday = deny("0 0 * * SUN", "24h")
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25)):
        start = micros(f"{day} 00:00")
        assert judge(start - 1, sunday).closes_at == start
        assert (judge(start, sunday).opens_at or 0) - start == hours * HOUR


def test_what_spring_skips_does_not_happen() -> None:
    night = deny("0 2 * * *", "1h")
    assert judge(micros("2026-03-28 02:30"), night).closed_by
    before = judge(micros("2026-03-29 01:59"), night)
    assert shown(before.closes_at) == "Mon 02:00 +0200"


def test_a_window_that_begins_in_the_skipped_hour_begins_after_it() -> None:
    night = deny("30 2 * * *", "1h")
    before = judge(micros("2026-03-29 01:59"), night)
    assert shown(before.closes_at) == "Sun 03:00 +0200"
    assert shown(judge(before.closes_at or 0, night).opens_at) == "Sun 03:30 +0200"


def test_what_autumn_shows_twice_is_closed_twice() -> None:
    night = deny("0 2 * * *", "30m")
    first = judge(micros("2026-10-25 02:10"), night)
    assert shown(first.opens_at) == "Sun 02:30 +0200"
    between = judge(first.opens_at or 0, night)
    assert (between.open, shown(between.closes_at)) == (True, "Sun 02:00 +0100")
    assert shown(judge(micros("2026-10-25 02:10", fold=1), night).opens_at) == "Sun 02:30 +0100"


def test_an_hour_that_autumn_repeats_inside_a_window_opens_nothing() -> None:
    night = deny("0 1 * * *", "3h")
    assert shown(judge(micros("2026-10-25 01:30"), night).opens_at) == "Sun 04:00 +0100"


def test_zones_are_judged_each_by_its_own_clock() -> None:
    berlin, york = deny("0 9 * * *", "1h"), deny("0 9 * * *", "1h", "America/New_York")
    assert judge(micros("2026-07-01 09:30", "America/New_York"), berlin, york).closed_by == (york,)
    assert judge(micros("2026-07-01 09:30"), berlin, york).closed_by == (berlin,)


# --- who may pass ---------------------------------------------------------------------------------


def test_nobody_passes_a_window_that_names_no_role() -> None:
    at = micros("2026-05-09 12:00")
    assert judge(at, deny("0 17 * * FRI", "63h")).override is None
    assert judge(at, deny("0 17 * * FRI", "63h", override="role:admin")).override == frozenset({"role:admin"})


def test_whoever_passes_needs_the_role_of_every_window_that_closes() -> None:
    at = micros("2026-05-09 12:00")
    weekend = deny("0 17 * * FRI", "63h", override="role:operator")
    noon = deny("0 12 * * *", "1h", override="role:admin")
    assert judge(at, weekend, noon).override == frozenset({"role:operator", "role:admin"})
    assert judge(at, weekend, deny("0 12 * * *", "1h")).override is None
    outside = allow("0 9 * * MON-FRI", "8h", override="role:admin")
    assert judge(at, weekend, outside).override == frozenset({"role:operator", "role:admin"})


# --- how it is written ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"deny": "0 17 * * FRI", "allow": "0 9 * * *"}, "needs exactly one of deny and allow"),
        ({"reason": "x"}, "needs exactly one of deny and allow"),
        ({"deny": "0 0 31 2 *"}, "day-of-month is wrong or never comes"),
        ({"deny": "0 0 * 2 30"}, "its day-of-week is wrong"),
        ({"deny": "0 25 * * *"}, "its hour is wrong"),
        ({"deny": "@daily"}, "must be five cron fields"),
        ({"deny": "0 0 17 * * FRI"}, "must be five cron fields"),
        ({"deny": "0 " + "9" * 5000 + " * * *"}, "must be five cron fields"),
        ({"deny": "0 17 * * FRI", "tz": "Berlin"}, "did you mean Europe/Berlin?"),
        ({"deny": "0 17 * * FRI", "tz": "../../etc/passwd"}, "must be a time zone"),
        ({"deny": "0 17 * * FRI", "tz": "localtime"}, "must be a time zone"),
        ({"deny": "0 17 * * FRI", "tz": "Europe/Nowhere"}, "must be a time zone"),
        ({"deny": "0 17 * * FRI", "for": "40d"}, "at most 31d"),
        ({"deny": "0 17 * * FRI", "override": "role:boss"}, "must be a role that may"),
        ({"deny": "0 17 * * FRI", "override": "user:ann"}, "must be a role"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_way_out(table: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Window.model_validate({"for": "1h", "tz": BERLIN, **table})
    assert sentence in str(caught.value.errors())


def test_the_zone_has_to_be_said() -> None:
    with pytest.raises(ValidationError, match="tz"):
        Window.model_validate({"deny": "0 17 * * FRI", "for": "1h"})


def test_a_window_reads_as_words() -> None:
    assert str(deny("0 17 * * fri", "63h")) == "deny: at 17:00 on Friday for 2d15h (Europe/Berlin)"


# --- what it costs --------------------------------------------------------------------------------


def test_windows_that_interlock_are_judged_without_looking_at_each_one_again_at_every_edge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0
    turns = Window.turns

    def counted(window: Window, at: int) -> int | None:
        nonlocal asked
        asked += 1
        return turns(window, at)

    monkeypatch.setattr(Window, "turns", counted)
    opening = [allow(f"{minute} * * * *", "1m") for minute in range(14)]
    closing = [deny(f"{minute} * * * *", "1m", "America/New_York") for minute in range(14)]
    assert never_open([*opening, *closing])
    assert asked < 2_000  # 28 windows at 500 edges are 14,000 looks


def test_all_that_wait_with_the_same_windows_are_judged_once_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = judge(micros("2026-05-08 17:01"), deny("3 17 * * FRI", "63h"))
    monkeypatch.setattr(Window, "turns", None)
    assert judge(micros("2026-05-08 17:01"), deny("3 17 * * FRI", "63h")) is first


# --- properties over both changes of the clocks ---------------------------------------------------

NIGHTS = {  # the moments (UTC) around which clocks are set, one zone for each kind of change
    "Europe/Berlin": ("2026-03-29T01:00", "2026-10-25T01:00"),
    "America/New_York": ("2026-03-08T07:00", "2026-11-01T06:00"),
    "Australia/Lord_Howe": ("2026-10-03T15:30", "2026-04-04T15:00"),  # by half an hour
    "America/Sao_Paulo": ("2018-11-04T03:00", "2018-02-18T02:00"),  # at midnight: a day begins at 01:00
    "Africa/Casablanca": ("2026-03-22T02:00", "2026-02-15T02:00"),  # twice within five weeks
    "Pacific/Apia": ("2011-12-30T10:00", "2011-09-24T14:00"),  # a whole day skipped
    "UTC": ("2026-03-29T01:00", "2026-10-25T01:00"),
}


@st.composite
def schedules(draw: st.DrawFn) -> str:
    minute = draw(st.sampled_from(["0", "30", "*/20", "*", "5,50", "17"]))
    hour = draw(st.sampled_from(["0", "1", "2", "3", "1-3", "*", "*/2", "23", "22,2"]))
    day = draw(
        st.sampled_from(["* * *", "* * SUN", "* * SAT,SUN", "* * MON-FRI", "L * *", "*/2 * *", "1-7 * SUN"])
    )
    return f"{minute} {hour} {day}"


@st.composite
def windows(draw: st.DrawFn, zone: str) -> Window:
    kind = draw(st.sampled_from(["deny", "allow"]))
    minutes = draw(st.one_of(st.integers(1, 200), st.sampled_from([1380, 1440, 1500, 3780])))
    return Window.model_validate({kind: draw(schedules()), "for": minutes * 60, "tz": zone})


@st.composite
def nights(draw: st.DrawFn) -> tuple[str, int]:
    """A zone, and a minute in the three days around one change of its clocks."""
    zone = draw(st.sampled_from(sorted(NIGHTS)))
    change = datetime.fromisoformat(draw(st.sampled_from(NIGHTS[zone]))).replace(tzinfo=UTC)
    return zone, to_micros(change) + draw(st.integers(-2 * 24 * 60, 24 * 60)) * MINUTE


def expected(calendars: Sequence[Sequence[Window]], at: int) -> bool:
    """Whether it is open, straight from the definition: some beginning is less than `for` ago on the wall."""
    for calendar in calendars:
        inside = {window: covered(window, at) for window in calendar}
        if any(inside[window] for window in calendar if window.deny):
            return False
        allowing = [inside[window] for window in calendar if window.allow]
        if allowing and not any(allowing):
            return False
    return True


def covered(window: Window, at: int) -> bool:
    wall = to_datetime(at).astimezone(ZoneInfo(window.tz)).replace(tzinfo=None)
    length = timedelta(seconds=window.lasts)
    begins = next(CronSim(window.schedule, wall - length), None)
    return begins is not None and begins <= wall


@settings(max_examples=120, deadline=None)
@given(nights(), st.data())
def test_it_is_open_exactly_when_the_wall_clock_says_so(night: tuple[str, int], data: st.DataObject) -> None:
    zone, at = night
    calendars = data.draw(st.lists(st.lists(windows(zone), max_size=3), max_size=2))
    assert standing(calendars, at).open is expected(calendars, at)


@settings(max_examples=40, deadline=None)
@given(nights(), st.data())
def test_the_edge_is_the_next_one_to_the_minute(night: tuple[str, int], data: st.DataObject) -> None:
    zone, at = night
    calendars = data.draw(st.lists(st.lists(windows(zone), min_size=1, max_size=2), min_size=1, max_size=2))
    found = standing(calendars, at)
    edge = found.closes_at if found.open else found.opens_at
    assert (found.opens_at is None) or (found.closes_at is None)
    until = min(edge or at + HORIZON, at + 3 * 24 * HOUR)
    for moment in range(at, until, 7 * MINUTE):
        assert expected(calendars, moment) is found.open
    if edge is not None:
        assert at < edge <= at + HORIZON
        assert expected(calendars, edge - MINUTE) is found.open
        assert expected(calendars, edge) is not found.open
        assert standing(calendars, edge).open is not found.open


@settings(max_examples=100, deadline=None)
@given(nights(), st.data())
def test_another_window_never_opens_anything(night: tuple[str, int], data: st.DataObject) -> None:
    zone, at = night
    calendar = data.draw(st.lists(windows(zone), max_size=2))
    more = data.draw(windows(zone))
    if not standing([calendar], at).open:
        assert not standing([calendar, [more]], at).open


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(NIGHTS)), schedules(), st.integers(1, 300), st.integers(0, 10**9))
def test_a_window_turns_at_a_whole_second_whenever_it_is_asked(
    zone: str, schedule: str, minutes: int, offset: int
) -> None:
    window = Window.model_validate({"deny": schedule, "for": minutes * 60, "tz": zone})
    at = micros("2026-01-01 00:00", "UTC") + offset * 31_536
    turn = window.turns(at)
    if turn is not None:
        assert turn % 60_000_000 == 0
        assert window.turns(turn - 1) == turn
        assert window.covers(turn) is not window.covers(at)
