"""What happens by itself: jobs, when each is due, and the scheduler that `core/app.py` opens.

APScheduler only ticks. It sleeps through a wall clock that is set back, and counts every missed run after one
that is set forward (docs/decisions/0006), so what is due is worked out here: intervals on the monotonic
clock, calendar times once per beat. Each run is claimed by a row, so that several servers run it once.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.clock import SECOND, Clock, to_datetime, to_micros
from dg.core.database import Database, Statement, Tx
from dg.core.errors import Invalid, Problem
from dg.core.tasks import Tasks

log = logging.getLogger(__name__)

_RETRY = 10.0
"""Seconds until a run that could not be claimed (a full disk, ...) is tried again."""

_PATIENCE = 1.0
"""Seconds that a server which stops waits for its jobs: some of them wait for commands of an admin's."""

_BEATS = 60
"""Over so many beats the worst lag is remembered."""

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

_t = schema.ticks
_LAST = Statement(
    sa.select(_t.c.tick, _t.c.at).where(_t.c.job == bindparam("name")).order_by(_t.c.tick.desc()).limit(1)
)
_CLAIMED = Statement(
    sa.select(_t.c.tick).where(_t.c.job == bindparam("name"), _t.c.tick == bindparam("number"))
)
_CLAIM = Statement(_t.insert())
_newer = _t.alias("newer")
_PRUNE = Statement(
    _t.delete().where(
        _t.c.at < bindparam("before"),
        sa.exists().where(_newer.c.job == _t.c.job, _newer.c.tick > _t.c.tick),
    )
)


@dataclass(frozen=True)
class Every:
    """Again and again, `seconds` apart; also soon after a start, unless it ran a short while ago."""

    seconds: float


@dataclass(frozen=True)
class Cron:
    """At calendar times: five fields as in crontab, in a time zone of the IANA database.

    When clocks are set back, a time of day in the repeated hour comes once; when they are set forward, one in
    the hour that is left out comes an hour later. A time that passed while no server ran is made up for once.
    """

    expression: str
    timezone: str = "UTC"


@dataclass(frozen=True)
class Job:
    """Something that happens by itself. A run that fails is logged and counted, and the next one comes."""

    name: str
    trigger: Every | Cron
    run: Callable[[], Awaitable[object]]


def check(trigger: Every | Cron, field: str) -> None:
    """Raise Invalid, naming the setting `field`, for a calendar or a time zone that there is not."""
    try:
        following(trigger, 0)
    except (ValueError, LookupError, OSError) as error:
        raise Invalid(
            f"{field}: five fields as in crontab, and a zone such as Europe/Berlin: {error}", field=field
        ) from None


def following(trigger: Every | Cron, moment: int) -> int:
    """When it is due after `moment`; both in microseconds."""
    if isinstance(trigger, Every):
        return moment + round(trigger.seconds * SECOND)
    zone = UTC if trigger.timezone == "UTC" else ZoneInfo(trigger.timezone)
    calendar = _calendar(trigger.expression, zone)
    found: datetime | None = calendar.get_next_fire_time(None, to_datetime(moment + 1))
    if found is None:
        raise ValueError("it names no moment")
    return to_micros(found)


def _calendar(expression: str, zone: tzinfo) -> CronTrigger:
    """Raises ValueError for what is not five fields, and for days of the month and of the week at once."""
    fields = expression.split()
    if len(fields) != 5:
        raise ValueError("it has not five fields")
    # For crontab either of them is enough, for APScheduler both must be so.
    if fields[2] != "*" and fields[4] != "*":
        raise ValueError("name days of the month or days of the week, not both")
    return CronTrigger.from_crontab(" ".join([*fields[:4], _weekdays(fields[4])]), timezone=zone)


def _weekdays(field: str) -> str:
    """Days of the week by name: their numbers begin with Sunday in crontab, with Monday in APScheduler."""
    days: list[str] = []
    for part in field.lower().split(","):
        match = re.fullmatch(r"([0-7])(?:-([0-7]))?(?:/([1-7]))?", part.replace("*/", "0-6/"))
        if match is None:
            days.append(part)
            continue
        first, last = int(match[1]), int(match[2] or (6 if match[3] else match[1]))
        days += [_DAYS[day % 7] for day in range(first, last + 1, int(match[3] or 1))]
    return ",".join(days)


class _Timer(Protocol):
    def due(self) -> bool:
        """Whether a run should be claimed now."""
        ...

    def passed(self) -> None:
        """The run that was due is claimed, here or by another server."""
        ...

    def claim(self, tx: Tx, job: str) -> bool:
        """Take this run for this server; False when another has it."""
        ...


class _Interval:
    def __init__(self, trigger: Every, clock: Clock) -> None:
        self._seconds = trigger.seconds
        self._clock = clock
        self._next = clock.monotonic()

    def due(self) -> bool:
        return self._clock.monotonic() >= self._next

    def passed(self) -> None:
        self._next = self._clock.monotonic() + self._seconds

    def claim(self, tx: Tx, job: str) -> bool:
        now = self._clock.micros()
        last = tx.one(_LAST, name=job)
        # Both ways round: after the wall clock was set back the last run lies in the future.
        if last and abs(now - last["at"]) < self._seconds * 500_000:
            return False
        tx.run(_CLAIM, job=job, tick=last["tick"] + 1 if last else 1, at=now)
        return True


class _Calendar:
    def __init__(self, trigger: Cron, clock: Clock, last: int | None) -> None:
        zone = UTC if trigger.timezone == "UTC" else ZoneInfo(trigger.timezone)
        self._trigger = _calendar(trigger.expression, zone)
        self._every_hour = trigger.expression.split()[1].startswith("*")
        self._clock = clock
        self._seen = clock.micros() if last is None else last
        self._tick = 0

    def due(self) -> bool:
        now = self._clock.micros()
        # After the wall clock was set back, begin again there; what ran already is claimed.
        self._seen = min(self._seen, now)
        following = self._after(to_datetime(self._seen + 1))
        self._tick = to_micros(following) if following else now + 1
        return self._tick <= now

    def _after(self, moment: datetime) -> datetime | None:
        following: datetime | None = self._trigger.get_next_fire_time(None, moment)
        if following and following.fold and not self._every_hour:
            # The hour that the end of summer time repeats: 02:30 was there already.
            return self._after(following.astimezone(UTC) + timedelta(minutes=1))
        return following

    def passed(self) -> None:
        self._seen = self._clock.micros()

    def claim(self, tx: Tx, job: str) -> bool:
        if tx.one(_CLAIMED, name=job, number=self._tick):
            return False
        tx.run(_CLAIM, job=job, tick=self._tick, at=self._clock.micros())
        return True


class Scheduler:
    """Runs jobs when they are due, each at most once at a time. Made by `open_scheduler`."""

    def __init__(
        self, jobs: Sequence[Job], db: Database, clock: Clock, tasks: Tasks, interval: float = 1.0
    ) -> None:
        self._interval = interval
        self.failures: Counter[str] = Counter()
        """Failed runs by job since the start."""
        self._jobs = jobs
        self._db = db
        self._clock = clock
        self._tasks = tasks
        self._timers: dict[str, _Timer] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}
        self._beating = asyncio.Lock()
        self._begun: float | None = None
        self._lags: deque[float] = deque([0.0], maxlen=_BEATS)

    @property
    def figures(self) -> dict[str, Any]:
        """For the diagnostics: seconds by which beats came late, what runs now, and failed runs by job."""
        return {
            "lag": {"last": round(self._lags[-1], 3), "worst": round(max(self._lags), 3)},
            "running": sorted(self._running),
            "failures": dict(self.failures),
        }

    async def prepare(self) -> None:
        """Find out when each job ran last. A calendar time that passed while no server ran is made up for."""
        for job in self._jobs:
            self._timers[job.name] = await self._timer(job)

    async def _timer(self, job: Job) -> _Timer:
        if isinstance(job.trigger, Every):
            return _Interval(job.trigger, self._clock)
        last = await self._db.read(lambda tx: tx.one(_LAST, name=job.name))
        return _Calendar(job.trigger, self._clock, last["tick"] if last else None)

    async def beat(self) -> None:
        """Start what is due. However much time has passed, each job is started at most once."""
        async with self._beating:
            self._measure()
            for job in self._jobs:
                if self._free(job) and self._timers[job.name].due():
                    await self._start(job)

    def _measure(self) -> None:
        now = self._clock.monotonic()
        if self._begun is not None:
            self._lags.append(max(0.0, now - self._begun - self._interval))
        self._begun = now

    def _free(self, job: Job) -> bool:
        resting = self._clock.monotonic() < self._not_before.get(job.name, 0.0)
        return job.name not in self._running and not resting

    async def _start(self, job: Job) -> None:
        timer = self._timers[job.name]
        try:
            mine = await self._db.write(lambda tx: timer.claim(tx, job.name))
        except Problem as problem:
            self._not_before[job.name] = self._clock.monotonic() + _RETRY
            self._failed(job, problem)
            return
        timer.passed()
        if mine:
            task = self._running[job.name] = self._tasks.spawn(f"job {job.name}", self._run(job))
            task.add_done_callback(lambda _: self._running.pop(job.name, None))

    async def _run(self, job: Job) -> None:
        try:
            await job.run()
        except Exception as error:  # noqa: BLE001 - whatever one job does, the others go on
            self._failed(job, error)

    def _failed(self, job: Job, error: Exception) -> None:
        self.failures[job.name] += 1
        log.error(
            "job %s failed: %s", job.name, error, exc_info=None if isinstance(error, Problem) else error
        )

    async def drain(self, patience: float | None = None) -> None:
        """Wait until nothing runs; what still does after `patience` seconds is cancelled."""
        async with self._beating:
            if running := list(self._running.values()):
                _, late = await asyncio.wait(running, timeout=patience)
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)


@asynccontextmanager
async def open_scheduler(
    jobs: Sequence[Job], *, db: Database, clock: Clock, tasks: Tasks, beat: float = 1.0
) -> AsyncIterator[Scheduler]:
    """A scheduler that looks every `beat` seconds for what is due; closing waits a moment for what runs."""
    scheduler = Scheduler(jobs, db, clock, tasks, beat)
    await scheduler.prepare()
    ticker = AsyncIOScheduler(timezone=_SteadyTime(clock))
    ticker.add_job(scheduler.beat, _Beat(beat), coalesce=True, misfire_grace_time=None, max_instances=1)
    ticker.start()
    try:
        yield scheduler
    finally:
        # A shutdown cancels what APScheduler started (a beat), so let that end first.
        ticker.pause()
        await scheduler.drain(_PATIENCE)
        ticker.shutdown(wait=False)


class _SteadyTime(tzinfo):
    """A "time zone" that shows monotonic time. APScheduler's only clock is `datetime.now(timezone)`."""

    _BEGIN = datetime(2000, 1, 1, tzinfo=UTC)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def fromutc(self, _: datetime) -> datetime:
        return (self._BEGIN + timedelta(seconds=self._clock.monotonic())).replace(tzinfo=self)

    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta(0)

    def dst(self, _: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, _: datetime | None) -> str:
        return "steady"


class _Beat(BaseTrigger):  # type: ignore[misc]
    """Fires `seconds` after now, however many beats were missed."""

    def __init__(self, seconds: float) -> None:
        self._seconds = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        return now if previous_fire_time is None else now + self._seconds


def prune_ticks(tx: Tx, before: int) -> int:
    """Forget claims made before `before` (microseconds), but for the newest of each job."""
    return tx.run(_PRUNE, before=before)
