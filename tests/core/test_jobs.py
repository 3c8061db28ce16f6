"""The scheduler: once per due time, whatever the clocks, the other servers and the jobs themselves do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.observed import Observed

from dg.core import jobs, schema
from dg.core.clock import SystemClock, to_datetime, to_micros
from dg.core.database import Statement
from dg.core.errors import Unavailable
from dg.core.jobs import Cron, Every, Job, Scheduler, open_scheduler, prune_ticks
from dg.core.testing import Ground, ManualClock, eventually, open_ground, settle

TICKS = Statement(sa.select(schema.ticks).order_by(schema.ticks.c.job, schema.ticks.c.tick))
HOUR = 3600.0
DAY = 24 * HOUR


def at(text: str) -> int:
    return to_micros(datetime.fromisoformat(text).replace(tzinfo=UTC))


class Runs:
    """A job's runs, by the wall clock."""

    def __init__(self, clock: ManualClock, trigger: Every | Cron, name: str = "job") -> None:
        self.times: list[str] = []
        self.clock = clock
        self.job = Job(name, trigger, self.run)

    async def run(self) -> None:
        self.times.append(f"{to_datetime(self.clock.micros()):%d %H:%M:%S}")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(at("2026-06-01T00:00:00"))


@pytest.fixture
async def ground(tmp_path: Path, database_url: str | None, clock: ManualClock) -> AsyncIterator[Ground]:
    async with open_ground(tmp_path, clock, url=database_url) as ground:
        yield ground


async def scheduler(ground: Ground, *jobs: Job) -> Scheduler:
    made = Scheduler(jobs, ground.db, ground.clock, ground.tasks)
    await made.prepare()
    return made


async def beats(
    ground: Ground, clock: ManualClock, made: Scheduler, seconds: float, step: float = 1.0
) -> None:
    """Let time pass in beats of `step` seconds."""
    for _ in range(round(seconds / step)):
        await clock.advance(step)
        await made.beat()
        await made.drain()


# --- intervals


async def test_an_interval_runs_soon_after_the_start_and_then_again_and_again(
    ground: Ground, clock: ManualClock
) -> None:
    runs = Runs(clock, Every(60))
    made = await scheduler(ground, runs.job)
    await beats(ground, clock, made, 180)
    assert runs.times == ["01 00:00:01", "01 00:01:01", "01 00:02:01"]


async def test_a_restart_does_not_repeat_what_ran_a_short_while_ago(
    ground: Ground, clock: ManualClock
) -> None:
    runs = Runs(clock, Every(HOUR))
    for _ in range(5):
        await beats(ground, clock, await scheduler(ground, runs.job), 60)
    assert len(runs.times) == 1


async def test_restarts_do_not_keep_a_job_from_ever_running(ground: Ground, clock: ManualClock) -> None:
    runs = Runs(clock, Every(HOUR))
    for _ in range(24):
        await beats(ground, clock, await scheduler(ground, runs.job), 600, step=10)
    assert 4 <= len(runs.times) <= 8


@pytest.mark.parametrize("jump", [-3600, -30 * DAY, 3600, 30 * DAY])
async def test_a_jump_of_the_wall_clock_neither_stops_an_interval_nor_repeats_it(
    ground: Ground, clock: ManualClock, jump: float
) -> None:
    runs = Runs(clock, Every(60))
    made = await scheduler(ground, runs.job)
    await beats(ground, clock, made, 120)
    clock.jump(jump)
    await beats(ground, clock, made, 180)
    assert len(runs.times) == 5


async def test_a_long_sleep_of_the_machine_is_made_up_for_once(ground: Ground, clock: ManualClock) -> None:
    runs = Runs(clock, Every(60))
    made = await scheduler(ground, runs.job)
    await beats(ground, clock, made, 2)
    await clock.advance(30 * DAY)
    await made.beat()
    await made.drain()
    assert len(runs.times) == 2


async def test_two_servers_run_a_job_once(ground: Ground, clock: ManualClock) -> None:
    runs = Runs(clock, Every(60))
    one, two = await scheduler(ground, runs.job), await scheduler(ground, runs.job)
    for _ in range(600):
        await clock.advance(1)
        await asyncio.gather(one.beat(), two.beat())
        await asyncio.gather(one.drain(), two.drain())
    assert len(runs.times) == 10


async def test_when_one_server_dies_the_other_goes_on(ground: Ground, clock: ManualClock) -> None:
    runs = Runs(clock, Every(60))
    one = await scheduler(ground, runs.job)
    await beats(ground, clock, one, 20)
    two = await scheduler(ground, runs.job)
    await beats(ground, clock, two, 600)
    assert 10 <= len(runs.times) <= 11


# --- calendar times


async def test_a_calendar_time_fires_when_it_comes(ground: Ground, clock: ManualClock) -> None:
    runs = Runs(clock, Cron("0 2 * * *"))
    made = await scheduler(ground, runs.job)
    await beats(ground, clock, made, 2 * DAY, step=60)
    assert runs.times == ["01 02:00:00", "02 02:00:00"]


async def test_a_calendar_time_that_passed_while_no_server_ran_is_made_up_for_once(
    ground: Ground, clock: ManualClock
) -> None:
    runs = Runs(clock, Cron("0 2 * * *"))
    await beats(ground, clock, await scheduler(ground, runs.job), 3 * HOUR, step=60)
    await clock.advance(5 * DAY)
    await beats(ground, clock, await scheduler(ground, runs.job), HOUR, step=60)
    assert runs.times == ["01 02:00:00", "06 03:01:00"]


async def test_a_new_calendar_job_makes_up_for_nothing(ground: Ground, clock: ManualClock) -> None:
    await clock.advance(12 * HOUR)
    runs = Runs(clock, Cron("0 2 * * *"))
    await beats(ground, clock, await scheduler(ground, runs.job), HOUR, step=60)
    assert runs.times == []


async def test_thirty_days_forward_make_one_run(ground: Ground, clock: ManualClock) -> None:
    runs = Runs(clock, Cron("* * * * *"))
    made = await scheduler(ground, runs.job)
    await beats(ground, clock, made, 60)
    clock.jump(30 * DAY)
    await made.beat()
    await made.drain()
    assert len(runs.times) == 2


async def test_an_hour_back_repeats_nothing_and_loses_nothing(ground: Ground, clock: ManualClock) -> None:
    runs = Runs(clock, Cron("0 * * * *"))
    made = await scheduler(ground, runs.job)
    await beats(ground, clock, made, 2 * HOUR + 60, step=60)
    clock.jump(-HOUR)
    await beats(ground, clock, made, 3 * HOUR, step=60)
    assert runs.times == ["01 01:00:00", "01 02:00:00", "01 03:00:00", "01 04:00:00"]


async def test_a_clock_that_was_a_day_ahead_does_not_cost_a_day(ground: Ground, clock: ManualClock) -> None:
    runs = Runs(clock, Cron("0 * * * *"))
    made = await scheduler(ground, runs.job)
    clock.jump(DAY)
    await beats(ground, clock, made, 60)
    clock.jump(-DAY)
    await beats(ground, clock, made, 3 * HOUR, step=60)
    assert runs.times[-2:] == ["01 02:00:00", "01 03:00:00"]


@pytest.mark.parametrize(
    ("day", "expected"),
    [("2026-03-28T12:00:00", "29 01:30:00"), ("2026-10-24T12:00:00", "25 00:30:00")],
    ids=["no 02:30 in spring", "two 02:30 in autumn"],
)
async def test_half_past_two_comes_once_when_the_clocks_change(
    tmp_path: Path, database_url: str | None, observed: Observed, day: str, expected: str
) -> None:
    """R34: as `Cron` says of a time of day that comes twice or not at all."""
    clock = ManualClock(at(day))
    async with open_ground(tmp_path, clock, url=database_url) as ground:
        runs = Runs(clock, Cron("30 2 * * *", "Europe/Berlin"))
        await beats(ground, clock, await scheduler(ground, runs.job), 20 * HOUR, step=60)
    assert runs.times == [expected]
    observed("R34", "a night in which the clocks change", "runs at 02:30", len(runs.times), at_most=1)


async def test_an_hourly_job_runs_in_the_doubled_hour_too(tmp_path: Path, database_url: str | None) -> None:
    clock = ManualClock(at("2026-10-24T23:10:00"))
    async with open_ground(tmp_path, clock, url=database_url) as ground:
        runs = Runs(clock, Cron("0 * * * *", "Europe/Berlin"))
        await beats(ground, clock, await scheduler(ground, runs.job), 3 * HOUR, step=60)
    assert runs.times == ["25 00:00:00", "25 01:00:00", "25 02:00:00"]


@pytest.mark.parametrize("expression", ["", "* * *", "61 * * * *", "a b c d e"])
async def test_a_bad_expression_stops_the_start(ground: Ground, expression: str) -> None:
    with pytest.raises(ValueError):
        await scheduler(ground, Job("bad", Cron(expression), settle))


# --- what jobs do


async def test_a_job_that_fails_is_counted_and_the_others_go_on(
    ground: Ground, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> None:
        raise RuntimeError("broken job")

    async def too_deep() -> None:
        await too_deep()

    good = Runs(clock, Every(10), "good")
    made = await scheduler(ground, Job("bad", Every(10), broken), Job("deep", Every(10), too_deep), good.job)
    await beats(ground, clock, made, 30)
    assert made.failures == {"bad": 3, "deep": 3}
    assert len(good.times) == 3
    assert "broken job" in caplog.text


async def test_a_job_does_not_overtake_itself(ground: Ground, clock: ManualClock) -> None:
    release = asyncio.Event()
    started: list[float] = []

    async def slow() -> None:
        started.append(clock.monotonic())
        await release.wait()

    other = Runs(clock, Every(10), "other")
    made = await scheduler(ground, Job("slow", Every(10), slow), other.job)
    for _ in range(50):
        await clock.advance(1)
        await made.beat()
    assert len(started) == 1
    assert len(other.times) == 5
    release.set()
    await made.drain()
    await beats(ground, clock, made, 1)
    assert len(started) == 2


async def test_a_run_that_cannot_be_claimed_is_tried_again(
    ground: Ground, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_: object) -> None:
        raise Unavailable("the disk is full")

    runs = Runs(clock, Every(HOUR))
    made = await scheduler(ground, runs.job)
    with monkeypatch.context() as sick:
        sick.setattr(ground.db, "write", full)
        await beats(ground, clock, made, 5)
    assert (runs.times, made.failures["job"]) == ([], 1)
    await beats(ground, clock, made, 10)
    assert len(runs.times) == 1


async def test_old_claims_are_forgotten_but_for_the_newest_of_each_job(
    ground: Ground, clock: ManualClock
) -> None:
    one, two = Runs(clock, Every(60), "one"), Runs(clock, Cron("*/5 * * * *"), "two")
    made = await scheduler(ground, one.job, two.job)
    await beats(ground, clock, made, 600)
    before = clock.micros() + 1
    assert await ground.db.write(lambda tx: prune_ticks(tx, before)) > 0
    left = await ground.db.read(lambda tx: tx.all(TICKS))
    assert [(row["job"], row["tick"]) for row in left] == [("one", 10), ("two", clock.micros())]
    await beats(ground, clock, await scheduler(ground, one.job, two.job), 20)
    assert len(two.times) == 2


# --- on real time, by APScheduler


async def real(folder: Path, body: Callable[[Scheduler], Awaitable[None]], *jobs: Job) -> None:
    async with (
        open_ground(folder, SystemClock()) as ground,
        open_scheduler(jobs, db=ground.db, clock=ground.clock, tasks=ground.tasks, beat=0.02) as made,
    ):
        await body(made)


async def test_apscheduler_ticks(tmp_path: Path) -> None:
    runs: list[float] = []
    clock = SystemClock()

    async def run() -> None:
        runs.append(clock.monotonic())

    async def body(_: Scheduler) -> None:
        await eventually(lambda: len(runs) >= 5)

    await real(tmp_path, body, Job("quick", Every(0.1), run))
    gaps = [after - before for before, after in pairwise(runs)]
    assert min(gaps) >= 0.09


async def test_closing_waits_for_what_runs_and_starts_nothing_more(tmp_path: Path) -> None:
    ended: list[str] = []
    started = asyncio.Event()

    async def slow() -> None:
        started.set()
        await asyncio.sleep(0.1)
        ended.append("slow")

    async def body(_: Scheduler) -> None:
        await started.wait()

    await real(tmp_path, body, Job("slow", Every(0.05), slow))
    assert ended == ["slow"]
    await asyncio.sleep(0.1)
    assert ended == ["slow"]


async def test_apscheduler_is_not_stalled_by_a_wall_clock_that_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the measured fact had it: plain APScheduler would not run for an hour."""
    runs: list[int] = []

    async def run() -> None:
        runs.append(1)

    async def body(_: Scheduler) -> None:
        await eventually(lambda: runs)
        monkeypatch.setattr("apscheduler.schedulers.base.datetime", Earlier)
        before = len(runs)
        await eventually(lambda: len(runs) >= before + 3)

    await real(tmp_path, body, Job("quick", Every(0.05), run))


class Earlier(datetime):
    """A wall clock one hour back."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        moment = datetime.now(UTC) - timedelta(hours=1)
        assert isinstance(tz, tzinfo)
        return moment.astimezone(tz)


async def test_closing_waits_a_moment_only_for_what_does_not_end(ground: Ground) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    jobs = [Job("hangs", Every(1.0), hang)]
    async with asyncio.timeout(20):
        async with open_scheduler(jobs, db=ground.db, clock=SystemClock(), tasks=ground.tasks, beat=0.01):
            await begun.wait()
    assert ended.is_set()


async def test_figures_say_how_late_beats_come(ground: Ground, clock: ManualClock) -> None:
    idle = await scheduler(ground)
    for pause in (1.0, 4.5, 1.0):
        await idle.beat()
        await clock.advance(pause)
    await idle.beat()
    assert idle.figures == {"lag": {"last": 0.0, "worst": 3.5}, "running": [], "failures": {}}


@pytest.mark.parametrize(
    ("field", "day"),
    [("0", 0), ("7", 0), ("1", 1), ("SUN", 0), ("1-5", 1), ("6,0", 6), ("5-7", 5), ("*/7", 0), ("2/2", 2)],
)
def test_days_of_the_week_are_those_of_crontab(field: str, day: int) -> None:
    """Sunday is 0; `day` is the first one after a Sunday at noon, or with 0 a Sunday a week later."""
    sunday = datetime(2026, 11, 22, 12, tzinfo=UTC)
    due = jobs.following(Cron(f"0 0 * * {field}"), to_micros(sunday))
    assert to_datetime(due).isoweekday() % 7 == day
