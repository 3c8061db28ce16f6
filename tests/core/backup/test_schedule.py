"""When backups are made, when one is late, and which of them stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from dg.core.backup import schedule
from dg.core.clock import SECOND, to_micros
from dg.core.errors import Invalid
from dg.core.jobs import Cron
from dg.settings.backup import Backup

BEGIN = datetime(2026, 1, 1, 2, 30, tzinfo=UTC)


def nightly(count: int) -> list[tuple[str, int]]:
    """Backups of so many nights, each called by its day."""
    nights = (BEGIN + timedelta(days=day) for day in range(count))
    return [(f"{night:%Y-%m-%d}", to_micros(night)) for night in nights]


def test_the_newest_of_each_day_week_and_month_stay() -> None:
    keep = Backup(keep_last=1, keep_daily=3, keep_weekly=3, keep_monthly=3)
    stay = schedule.staying(nightly(120), keep)
    assert sorted(stay) == [
        # The newest of February and of March; April's is one of the last three days.
        *("2026-02-28", "2026-03-31"),
        # The Sundays of the weeks before the one that is begun.
        *("2026-04-19", "2026-04-26"),
        *("2026-04-28", "2026-04-29", "2026-04-30"),
    ]


def test_of_one_day_only_the_newest_stays_beside_the_last_ones() -> None:
    hourly = [(f"{hour:02}", to_micros(BEGIN.replace(hour=hour))) for hour in range(24)]
    keep = Backup(keep_last=2, keep_daily=7, keep_weekly=0, keep_monthly=0)
    assert schedule.staying(hourly, keep) == {"22", "23"}


def test_the_newest_always_stays_however_old() -> None:
    keep = Backup(keep_last=1, keep_daily=0, keep_weekly=0, keep_monthly=0)
    assert schedule.staying(nightly(3), keep) == {"2026-01-03"}
    assert schedule.staying([], keep) == frozenset()


def test_days_are_those_of_the_time_zone() -> None:
    evening, night = datetime(2026, 6, 1, 21, 30, tzinfo=UTC), datetime(2026, 6, 1, 22, 30, tzinfo=UTC)
    made = [
        ("evening", to_micros(evening)),
        ("night", to_micros(night)),
        ("next", to_micros(night + timedelta(days=1))),
    ]
    keep = {"keep_last": 1, "keep_daily": 9, "keep_weekly": 0, "keep_monthly": 0}
    assert schedule.staying(made, Backup(**keep)) == {"night", "next"}
    berlin = Backup(**keep, tz="Europe/Berlin")
    assert schedule.staying(made, berlin) == {"evening", "night", "next"}


def test_a_backup_is_late_an_hour_after_it_was_due() -> None:
    cron, made = Backup(at="30 2 * * *"), to_micros(BEGIN)
    due = to_micros(BEGIN + timedelta(days=1))
    assert not schedule.is_late(cron, made, due + 3600 * SECOND)
    assert schedule.is_late(cron, made, due + 3601 * SECOND)
    every = Backup(every=600)
    assert not schedule.is_late(every, made, made + 4200 * SECOND)
    assert schedule.is_late(every, made, made + 4201 * SECOND)


def test_a_calendar_is_in_its_time_zone() -> None:
    berlin = Backup(at="30 2 * * *", tz="Europe/Berlin")
    assert schedule.making(berlin) == Cron("30 2 * * *", "Europe/Berlin")
    summer = to_micros(datetime(2026, 7, 1, 12, tzinfo=UTC))
    due = datetime(2026, 7, 2, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert not schedule.is_late(berlin, summer, to_micros(due) + 3600 * SECOND)
    assert schedule.is_late(berlin, summer, to_micros(due) + 3601 * SECOND)


@pytest.mark.parametrize(
    "settings",
    [
        {"at": "every night at two"},
        {"at": "99 2 * * *"},
        {"at": "30 2 * * * *"},
        {"at": "30 2 1 * MON"},
        {"at": "30 2 * * *", "tz": "Mars/Olympus"},
        {"at": "30 2 * * *", "tz": "../etc/passwd"},
        {"at": "0 0 30 2 *"},
    ],
)
def test_a_calendar_that_is_none_is_refused_by_name(settings: dict[str, str]) -> None:
    with pytest.raises(Invalid, match=r"backup\.at: five fields as in crontab"):
        schedule.making(Backup(**settings))
    with pytest.raises(Invalid, match=r"backup\.test_at"):
        schedule.testing(Backup(test_at=settings["at"], tz=settings.get("tz", "UTC")))


def test_a_calendar_and_an_interval_are_not_both_set() -> None:
    with pytest.raises(ValidationError, match="at and every: set one of them"):
        Backup(at="30 2 * * *", every=60)
    with pytest.raises(ValidationError, match="test_at and test_every"):
        Backup(test_at="30 2 * * *", test_every=60)
    with pytest.raises(ValidationError, match="prod is none of home, development"):
        Backup(what=("prod",))
    assert schedule.making(Backup()) is None
    assert not schedule.is_late(Backup(), 0, to_micros(BEGIN))
