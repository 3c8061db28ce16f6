"""When the server makes backups and tests them by itself, when one is late, and which of them stay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dg.core import jobs
from dg.core.clock import SECOND, to_datetime
from dg.core.jobs import Cron, Every
from dg.settings.backup import Backup

LATE = 3600 * SECOND
"""Microseconds after which a backup that was not made is missed."""


def making(settings: Backup) -> Cron | Every | None:
    """When backups are made; None for never. Raises Invalid for a calendar that is none."""
    return _trigger("backup.at", settings.at, settings.every, settings.tz)


def testing(settings: Backup) -> Cron | Every | None:
    """When they are tested; None for never. Raises Invalid for a calendar that is none."""
    return _trigger("backup.test_at", settings.test_at, settings.test_every, settings.tz)


def is_late(settings: Backup, since: int, now: int) -> bool:
    """Whether another should have been made by `now` when the newest is of `since`; microseconds."""
    trigger = making(settings)
    return trigger is not None and now > jobs.following(trigger, since) + LATE


def staying(made: Iterable[tuple[str, int]], settings: Backup) -> frozenset[str]:
    """Which of the scheduled backups stay: ids and moments in microseconds, in any order."""
    newest = sorted(made, key=lambda each: each[1], reverse=True)
    zone = UTC if settings.tz == "UTC" else ZoneInfo(settings.tz)
    dated = [(id_, to_datetime(at).astimezone(zone)) for id_, at in newest]
    stay = {id_ for id_, _ in dated[: settings.keep_last]}
    for count, period in (
        (settings.keep_daily, _day),
        (settings.keep_weekly, _week),
        (settings.keep_monthly, _month),
    ):
        stay |= _newest_of_each(dated, period, count)
    return frozenset(stay)


def _trigger(field: str, calendar: str | None, interval: float | None, zone: str) -> Cron | Every | None:
    if calendar is None:
        return None if interval is None else Every(interval)
    trigger = Cron(calendar, zone)
    jobs.check(trigger, field)
    return trigger


def _newest_of_each(
    dated: list[tuple[str, datetime]], period: Callable[[datetime], tuple[int, ...]], count: int
) -> set[str]:
    first: dict[tuple[int, ...], str] = {}
    for id_, moment in dated:
        first.setdefault(period(moment), id_)
    return set(list(first.values())[:count])


def _day(moment: datetime) -> tuple[int, ...]:
    return moment.year, moment.month, moment.day


def _week(moment: datetime) -> tuple[int, ...]:
    return moment.isocalendar()[:2]


def _month(moment: datetime) -> tuple[int, ...]:
    return moment.year, moment.month
