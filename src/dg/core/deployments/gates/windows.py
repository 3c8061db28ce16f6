"""Change windows: when an environment may be deployed to, by the clock on a wall of some place on earth.

A window begins whenever its cron schedule says so and holds as long as `for` says, both in the local time of
its zone: what that clock shows decides. An hour that is shown twice in autumn counts twice, one that spring
skips not at all, and "17:00 on Friday for 63h" ends on Monday at 08:00 whichever clocks were set meanwhile.
"""

from __future__ import annotations

import difflib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, StringConstraints

from dg.core.clock import SECOND, to_datetime
from dg.core.deployments.durations import Wait
from dg.core.deployments.gates.names import RoleName
from dg.core.deployments.tables import Table
from dg.settings.units import format_duration

HORIZON = 400 * 86_400_000_000
"""How far ahead an edge is looked for (microseconds): a year and its leap day."""

_MOST_EDGES = 500
"""Windows that interlock so finely that this many edges in a row open nothing are taken never to open."""

_DAY = 86_400 * SECOND
_ANY_MONDAY = datetime(2024, 1, 1)  # noqa: DTZ001 - a wall clock has no zone
_SCHEDULE = re.compile(r"[0-9A-Za-z*,/#-]{1,60}( [0-9A-Za-z*,/#-]{1,60}){4}")
_ZONE = re.compile(r"UTC|[A-Z][A-Za-z_]{1,30}(/[A-Za-z0-9_+-]{1,30}){1,2}")


def _schedule(text: str) -> str:
    text = " ".join(text.split())
    form = 'must be five cron fields (minute, hour, day, month, weekday) such as "0 17 * * FRI"'
    if not _SCHEDULE.fullmatch(text):
        raise ValueError(form)
    try:
        begins = next(CronSim(text, _ANY_MONDAY), None)
    except CronSimError as problem:
        raise ValueError(
            f"{form}; {str(problem).replace('Bad', 'its').lower()} is wrong or never comes"
        ) from None
    if begins is None:
        raise ValueError("never comes; name a day that exists")
    return text


def _zone(name: str) -> str:
    if _ZONE.fullmatch(name):
        try:
            return ZoneInfo(name).key
        except (LookupError, ValueError, OSError):
            pass
    near = difflib.get_close_matches(name[:60], available_timezones(), n=1)
    raise ValueError(
        f'must be a time zone such as "Europe/Berlin"{f"; did you mean {near[0]}?" if near else ""}'
    )


Schedule = Annotated[str, AfterValidator(_schedule)]
Zone = Annotated[str, AfterValidator(_zone)]
Because = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class Window(Table):
    """A time that recurs. `deny` closes the environment, `allow` opens it and closes it for all other time.

    `lasts` is in seconds. `override` may pass the window with a reason; without it nobody may.
    """

    deny: Schedule | None = None
    allow: Schedule | None = None
    lasts: Wait = Field(alias="for")
    tz: Zone
    override: RoleName | None = None
    reason: Because | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        if (self.deny is None) == (self.allow is None):
            yield "", "needs exactly one of deny and allow"

    @property
    def schedule(self) -> str:
        return self.deny or self.allow or ""

    def __str__(self) -> str:
        """`deny: at 17:00 on Friday for 2d15h (Europe/Berlin)`."""
        when = CronSim(self.schedule, _ANY_MONDAY).explain()
        return (
            f"{'deny' if self.deny else 'allow'}: {when[0].lower()}{when[1:]} "
            f"for {format_duration(self.lasts)} ({self.tz})"
        )

    def covers(self, at: int) -> bool:
        """Whether the wall clock shows a time inside the window at `at` (microseconds)."""
        return self._begun(self._wall(at)) is not None

    def turns(self, at: int) -> int | None:
        """The first moment after `at` at which `covers` changes; None when none is within `HORIZON`."""
        inside, last = self.covers(at), at + HORIZON
        while at < last:
            wall = self._wall(at)
            then = self._ends(wall) if inside else _begins(self.schedule, wall)
            due = None if then is None else at + _micros(then - wall)
            shift = _clocks_set(self.tz, at, last if due is None else min(due, last))
            if shift is None:
                return due if due is None or due <= last else None
            if self.covers(shift) is not inside:
                return shift
            at = shift
        return None

    def _wall(self, at: int) -> datetime:
        return to_datetime(at).astimezone(ZoneInfo(self.tz)).replace(tzinfo=None)

    def _begun(self, wall: datetime) -> datetime | None:
        """When the window began that holds at `wall`; None outside of it."""
        begun = _began(self.schedule, wall)
        return begun if begun is not None and wall < begun + timedelta(seconds=self.lasts) else None

    def _ends(self, wall: datetime) -> datetime | None:
        """When the wall clock leaves the window that holds at `wall`, overlapping ones included."""
        until = wall + timedelta(microseconds=HORIZON)
        while wall < until:
            begun = self._begun(wall)
            if begun is None:
                return wall
            chained = _chained(self.schedule, self.lasts, begun)
            wall = chained + timedelta(seconds=self.lasts)
        return None


@dataclass(frozen=True)
class Standing:
    """How windows stand at one moment; the edges are microseconds, None when none is within `HORIZON`.

    `closed_by` are the deny windows that hold, and the allow windows where none of a calendar's holds.
    """

    open: bool
    closed_by: tuple[Window, ...] = ()
    opens_at: int | None = None
    closes_at: int | None = None

    @property
    def override(self) -> frozenset[str] | None:
        """The roles that somebody needs, all of them, to pass; None when nobody may."""
        roles = [window.override for window in self.closed_by]
        return None if None in roles else frozenset(role for role in roles if role is not None)


def standing(calendars: Sequence[Sequence[Window]], at: int) -> Standing:
    """Judge windows at `at` (microseconds).

    Each calendar comes from one source (the environment's own, the pipeline's) and has to be open: inside
    one of its allow windows if it has any, and outside of all its deny windows. So no calendar opens what
    another one keeps closed.
    """
    return _standing(tuple(map(tuple, calendars)), at)


@lru_cache(maxsize=64)
def _standing(calendars: tuple[tuple[Window, ...], ...], at: int) -> Standing:
    """One judgement for all that wait in a lane at one moment, who mostly have the same windows."""
    courses = [[_Course(window) for window in calendar] for calendar in calendars]
    closed_by = tuple(_closing(courses, at))
    edge = _edge(courses, at, opened=not closed_by)
    return Standing(False, closed_by, opens_at=edge) if closed_by else Standing(True, closes_at=edge)


def never_open(windows: Sequence[Window]) -> bool:
    """True when one source's windows leave no time in a whole (leap) year."""
    found = standing([windows], _micros(_ANY_MONDAY - datetime(1970, 1, 1)))  # noqa: DTZ001
    return not found.open and found.opens_at is None


class _Course:
    """One window as time goes on: what was found out about it holds until it turns."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self._inside = False
        self._turn: int | None = 0

    def covers(self, at: int) -> bool:
        return self._at(at)[0]

    def turns(self, at: int) -> int | None:
        return self._at(at)[1]

    def _at(self, at: int) -> tuple[bool, int | None]:
        """`at` never lies before the one that was asked about last."""
        if self._turn is not None and self._turn <= at:
            self._inside, self._turn = self.window.covers(at), self.window.turns(at)
        return self._inside, self._turn


_Courses = Sequence[Sequence[_Course]]


def _edge(calendars: _Courses, at: int, *, opened: bool) -> int | None:
    """When what is `opened` at `at` closes, or the other way round."""
    moment = at
    for _ in range(_MOST_EDGES):
        then = _stays(calendars, moment)
        if then is None or then > at + HORIZON:
            return None
        if any(_closing(calendars, then)) is opened:
            return then
        moment = then
    return None


def _closing(calendars: _Courses, at: int) -> Iterator[Window]:
    for calendar in calendars:
        yield from (each.window for each in calendar if each.window.deny and each.covers(at))
        allowing = [each for each in calendar if each.window.allow]
        if not any(each.covers(at) for each in allowing):
            yield from (each.window for each in allowing)


def _stays(calendars: _Courses, at: int) -> int | None:
    """A moment after `at` until which nothing can open what is closed, or close what is open."""
    closed: list[int | None] = []
    opened: list[int | None] = []
    for calendar in calendars:
        for each in (each for each in calendar if each.window.deny):
            (closed if each.covers(at) else opened).append(each.turns(at))
        allowing = [each for each in calendar if each.window.allow]
        inside = [each.turns(at) for each in allowing if each.covers(at)]
        if inside:
            opened.append(None if None in inside else max(filter(None, inside)))
        elif allowing:
            closed.append(min((turn for each in allowing if (turn := each.turns(at))), default=None))
    if closed:
        return None if None in closed else max(filter(None, closed))
    return min(filter(None, opened), default=None)


# --- wall clocks: datetimes without a zone -------------------------------------------------------


def _began(schedule: str, wall: datetime) -> datetime | None:
    """The newest beginning at or before `wall`."""
    times = _times(schedule)
    on = _last_day(schedule, wall.date())
    if on == wall.date():
        at = bisect_right(times, wall.time())
        if at:
            return datetime.combine(on, times[at - 1])
        on = _last_day(schedule, on - timedelta(days=1))
    return None if on is None else datetime.combine(on, times[-1])


def _begins(schedule: str, wall: datetime) -> datetime | None:
    """The first beginning after `wall`."""
    times = _times(schedule)
    on = _next_day(schedule, wall.date())
    if on == wall.date():
        at = bisect_right(times, wall.time())
        if at < len(times):
            return datetime.combine(on, times[at])
        on = _next_day(schedule, on + timedelta(days=1))
    return None if on is None else datetime.combine(on, times[0])


def _chained(schedule: str, lasts: float, begun: datetime) -> datetime:
    """The last beginning on the day of `begun` that is reached from it without a gap."""
    ends = _ends_of_chains(schedule, lasts)
    return datetime.combine(begun.date(), ends[bisect_left(ends, begun.time())])


@lru_cache(maxsize=256)
def _ends_of_chains(schedule: str, lasts: float) -> tuple[time, ...]:
    """The times of day at which it begins and after which the next one of that day leaves a gap."""
    times = _times(schedule)
    gaps = (first for first, then in pairwise(times) if _minutes(then) - _minutes(first) > lasts / 60)
    return (*gaps, times[-1])


@lru_cache(maxsize=256)
def _times(schedule: str) -> tuple[time, ...]:
    """The times of day at which it begins, on the days on which it does."""
    minute, hour = schedule.split()[:2]
    found = []
    for begins in CronSim(f"{minute} {hour} * * *", _ANY_MONDAY - timedelta(seconds=1)):
        if begins.date() > _ANY_MONDAY.date():
            break
        found.append(begins.time())
    return tuple(found)


@lru_cache(maxsize=4096)
def _last_day(schedule: str, day: date) -> date | None:
    """The newest day not after `day` on which it begins."""
    after = datetime.combine(day, time(0, 0, 1))
    found = next(CronSim(_days(schedule), after, reverse=True), None)
    return found.date() if found else None


@lru_cache(maxsize=4096)
def _next_day(schedule: str, day: date) -> date | None:
    """The first day not before `day` on which it begins."""
    before = datetime.combine(day, time()) - timedelta(seconds=1)
    found = next(CronSim(_days(schedule), before), None)
    return found.date() if found else None


def _days(schedule: str) -> str:
    return " ".join(["0", "0", *schedule.split()[2:]])


def _minutes(at: time) -> int:
    return at.hour * 60 + at.minute


def _micros(length: timedelta) -> int:
    return length // timedelta(microseconds=1)


# --- the clocks of a place ------------------------------------------------------------------------


def _clocks_set(zone: str, after: int, until: int) -> int | None:
    """The first moment in (after, until] at which the clocks of `zone` are set forward or back."""
    offset, low = _offset(zone, after), after
    while low < until:
        high = min(low + _DAY, until)
        if _offset(zone, high) != offset:
            return _halved(zone, low, high)
        low = high
    return None


def _halved(zone: str, low: int, high: int) -> int:
    """The moment between `low` and `high`, a whole second, at which the offset of `zone` changes."""
    offset, low, high = _offset(zone, low), low // SECOND, -(-high // SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(zone, middle * SECOND) == offset else (low, middle)
    return high * SECOND


def _offset(zone: str, at: int) -> timedelta | None:
    return to_datetime(at).astimezone(ZoneInfo(zone)).utcoffset()
