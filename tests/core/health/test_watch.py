"""The watch: what it asks when, what it believes and tells, and what it makes of silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dg.core import ledger
from dg.core.clock import SECOND, to_micros
from dg.core.errors import Invalid, Unavailable
from dg.core.health import judging
from dg.core.health.announcing import Announcer, Told
from dg.core.health.models import Outcome, Sample, Status
from dg.core.health.probes import Probe, read
from dg.core.health.recorder import Recorder
from dg.core.health.watch import Watch
from dg.core.testing import Ground, ManualClock, open_ground, settle
from dg.core.types import Environment
from dg.settings.probes import Probes as ProbeSettings

DEVELOPMENT, STAGING, PRODUCTION = Environment
HEALTHY, DEGRADED, UNHEALTHY, UNKNOWN = Status


@dataclass
class World:
    """Targets by host: what they answer, and how often they were asked."""

    answers: dict[str, Sample] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    hanging: dict[str, asyncio.Event] = field(default_factory=dict)

    async def __call__(self, environment: Environment, probe: Probe) -> Sample:
        host = probe.host  # type: ignore[union-attr]
        self.asked.append(host)
        if host in self.hanging:
            await self.hanging[host].wait()
        return self.answers.get(host, Sample(Outcome.PASSED, 0.01, host=host))

    def down(self, *hosts: str) -> None:
        for host in hosts:
            self.answers[host] = Sample(Outcome.FAILED, 0.01, "answers 500", host=host)

    def silent(self, *hosts: str) -> None:
        for host in hosts:
            self.answers[host] = Sample(Outcome.FAILED, None, "no answer", host=host, silent=True)

    def up(self) -> None:
        self.answers.clear()


@dataclass
class Vigil:
    """A watch over a scripted world."""

    watch: Watch
    world: World
    clock: ManualClock
    ground: Ground
    recorder: Recorder
    announcer: Announcer

    async def advance(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            await self.clock.advance(0.1)
            await self.ground.db.drain()
            await self.ground.logs.drain()
        await settle()

    def status(self, name: str = "web", environment: Environment = STAGING) -> Status:
        return self.watch.status(self.watch.watched(environment)[name])[0]

    async def told(self) -> list[dict[str, Any]]:
        entries = await self.ground.db.read(lambda tx: ledger.after(tx, 0, 1000))
        return [dict(each.payload) for each in entries if each.type == "environment.health_changed"]


def dns(host: str, **more: Any) -> dict[str, Any]:
    return {"kind": "dns", "service": "shop", "host": host, "interval": 1, **more}


@asynccontextmanager
async def open_vigil(
    path: Path,
    documents: Mapping[str, Any],
    *,
    url: str | None = None,
    settings: ProbeSettings | None = None,
    clock: ManualClock | None = None,
) -> AsyncIterator[Vigil]:
    clock, world = clock or ManualClock(), World()
    async with open_ground(path, clock, url=url) as ground:
        recorder = Recorder(ground.logs, clock, settings or ProbeSettings())
        announcer = Announcer(ground.db, clock)
        watch = Watch(
            world,
            recorder,
            announcer,
            clock=clock,
            tasks=ground.tasks,
            chance=lambda: 0.5,
            settings=settings or ProbeSettings(),
        )
        await watch.begin({STAGING: documents})
        running = [ground.tasks.spawn("run", watch.run()), ground.tasks.spawn("keep", watch.keep())]
        try:
            yield Vigil(watch, world, clock, ground, recorder, announcer)
        finally:
            for task in running:
                await ground.tasks.stop(task)
            await recorder.flush()


async def test_a_service_that_breaks_and_heals_is_told_once_each(
    tmp_path: Path, either_url: str | None
) -> None:
    async with open_vigil(tmp_path, {"web": dns("a")}, url=either_url) as vigil:
        assert vigil.status() is UNKNOWN
        await vigil.advance(3)
        assert vigil.status() is HEALTHY
        vigil.world.down("a")
        await vigil.advance(10)
        assert vigil.status() is UNHEALTHY
        vigil.world.up()
        await vigil.advance(10)
        told = [(each["was"], each["status"], each["service_status"]) for each in await vigil.told()]
    assert told == [
        ("unknown", "healthy", "healthy"),
        ("healthy", "unhealthy", "unhealthy"),
        ("unhealthy", "healthy", "healthy"),
    ]


async def test_a_flapping_target_is_told_of_never(tmp_path: Path) -> None:
    async with open_vigil(tmp_path, {"web": dns("a")}) as vigil:
        await vigil.advance(3)
        for _ in range(20):
            vigil.world.down("a")
            await vigil.advance(1)
            vigil.world.up()
            await vigil.advance(1)
        assert len(await vigil.told()) == 1


async def test_a_silence_of_all_is_nobody_s_failure(tmp_path: Path) -> None:
    hosts = ("a", "b", "c", "d")
    documents = {f"p-{host}": dns(host, service=f"s-{host}", fail_after=1) for host in hosts}
    async with open_vigil(tmp_path, documents) as vigil:
        await vigil.advance(3)
        vigil.world.silent(*hosts)
        await vigil.advance(10)
        assert {vigil.status(name) for name in documents} == {UNKNOWN}
        assert "unhealthy" not in {each["service_status"] for each in await vigil.told()}
        message = vigil.watch.watched(STAGING)["p-a"].kept.message
        assert message is not None
        assert "own network" in message
        vigil.world.up()
        await vigil.advance(3)
        assert {vigil.status(name) for name in documents} == {HEALTHY}


async def test_the_silence_of_one_is_its_own(tmp_path: Path) -> None:
    documents = {f"p-{host}": dns(host, fail_after=1) for host in ("a", "b", "c")}
    async with open_vigil(tmp_path, documents) as vigil:
        await vigil.advance(3)
        vigil.world.silent("a")
        await vigil.advance(3)
        assert vigil.status("p-a") is UNHEALTHY
        assert vigil.status("p-b") is HEALTHY


async def test_the_silence_of_the_only_target_is_believed(tmp_path: Path) -> None:
    async with open_vigil(tmp_path, {"web": dns("a")}) as vigil:
        await vigil.advance(3)
        vigil.world.silent("a")
        await vigil.advance(5)
        assert vigil.status() is UNHEALTHY


async def test_a_clock_that_is_set_makes_no_storm(tmp_path: Path) -> None:
    documents = {f"p-{at}": dns(f"h{at}", interval=5) for at in range(50)}
    async with open_vigil(tmp_path, documents) as vigil:
        for jump in (3600.0, -7200.0, 86_400.0):
            await vigil.advance(5)
            before = len(vigil.world.asked)
            vigil.clock.jump(jump)
            await vigil.advance(10)
            assert 95 <= len(vigil.world.asked) - before <= 105
            assert vigil.status("p-0") is HEALTHY


async def test_a_loop_that_was_held_up_makes_up_for_nothing(tmp_path: Path) -> None:
    documents = {f"p-{at}": dns(f"h{at}", interval=5) for at in range(50)}
    async with open_vigil(tmp_path, documents) as vigil:
        await vigil.advance(5)
        before = len(vigil.world.asked)
        vigil.clock.hold_up(3600.0)
        await vigil.advance(5)
        assert len(vigil.world.asked) - before <= 55


async def test_a_probe_in_maintenance_asks_nothing_and_stays_what_it_was(tmp_path: Path) -> None:
    always = [{"at": "* * * * *", "for": "1h", "tz": "UTC"}]
    async with open_vigil(tmp_path, {"web": dns("a")}) as vigil:
        await vigil.advance(3)
        vigil.world.down("a")
        vigil.watch.hold(STAGING, {"web": dns("a", maintenance=always)})
        before = len(vigil.world.asked)
        await vigil.advance(60)
        assert len(vigil.world.asked) == before
        assert vigil.status() is HEALTHY


async def test_what_others_depend_on_is_their_cause_when_it_rested_as_long_as_the_clock_showed(
    tmp_path: Path,
) -> None:
    night = {"maintenance": [{"at": "0 2 * * *", "for": "1h", "tz": "Europe/Berlin"}]}
    probes = {
        "db": dns("a", interval=60, fail_after=1, **night),
        "web": dns("b", interval=60, fail_after=1, depends_on=["db"]),
    }
    two = to_micros(datetime.fromisoformat("2026-10-25T02:00+02:00"))
    async with open_vigil(tmp_path, probes, clock=ManualClock(two - 300 * SECOND)) as vigil:

        async def pass_until(minutes: int) -> tuple[Status, Status, str | None]:
            while vigil.clock.micros() < two + minutes * 60 * SECOND:
                await vigil.clock.advance(5)
                await vigil.ground.db.drain()
                await vigil.ground.logs.drain()
                await settle()
            statuses = {name: vigil.status(name) for name in probes}
            return statuses["db"], statuses["web"], judging.cause(read(probes), statuses, "web")

        assert await pass_until(0) == (HEALTHY, HEALTHY, None)
        vigil.world.down("a", "b")
        vigil.world.asked.clear()
        for shown in (59, 119):
            assert await pass_until(shown) == (HEALTHY, UNHEALTHY, None)
        assert "a" not in vigil.world.asked
        assert await pass_until(123) == (UNHEALTHY, UNHEALTHY, "db")


async def test_a_heartbeat_that_does_not_come_is_a_failure(tmp_path: Path) -> None:
    pulse = {"kind": "heartbeat", "service": "job", "interval": 60, "grace": "5s"}
    async with open_vigil(tmp_path, {"pulse": pulse}) as vigil:
        await vigil.advance(50)
        assert vigil.status("pulse") is UNKNOWN
        await vigil.watch.beat(STAGING, "pulse", Sample(Outcome.PASSED))
        await vigil.advance(64)
        assert vigil.status("pulse") is HEALTHY
        await vigil.advance(2)
        assert vigil.status("pulse") is UNHEALTHY
        await vigil.watch.beat(STAGING, "pulse", Sample(Outcome.PASSED))
        await vigil.advance(1)
        assert vigil.status("pulse") is HEALTHY
        await vigil.watch.beat(STAGING, "pulse", Sample(Outcome.FAILED, message="disk full"))
        await vigil.advance(1)
        assert vigil.status("pulse") is UNHEALTHY


async def test_what_changes_while_a_change_is_told_is_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulses = {name: {"kind": "heartbeat", "service": name, "interval": "1h"} for name in ("first", "second")}
    async with open_vigil(tmp_path, pulses) as vigil:
        tell = vigil.announcer.tell

        async def slowly(now: Mapping[Environment, Mapping[str, Told]]) -> bool:
            taken = await tell(now)
            monkeypatch.undo()
            await vigil.watch.beat(STAGING, "second", Sample(Outcome.PASSED))
            return taken

        monkeypatch.setattr(vigil.announcer, "tell", slowly)
        await vigil.watch.beat(STAGING, "first", Sample(Outcome.PASSED))
        await vigil.advance(3)
        told = [(each["service"], each["service_status"]) for each in await vigil.told()]
        assert told == [("first", "healthy"), ("second", "healthy")]


async def test_what_nobody_looked_at_for_long_is_unknown(tmp_path: Path) -> None:
    async with open_vigil(tmp_path, {"web": dns("a", interval=10)}) as vigil:
        await vigil.advance(11)
        assert vigil.status() is HEALTHY
        vigil.clock.jump(60)
        assert vigil.status() is UNKNOWN


async def test_what_is_known_outlives_the_server(tmp_path: Path, either_url: str | None) -> None:
    clock = ManualClock()
    async with open_vigil(tmp_path, {"web": dns("a")}, url=either_url, clock=clock) as vigil:
        await vigil.advance(3)
        vigil.world.down("a")
        await vigil.advance(5)
        since = vigil.watch.watched(STAGING)["web"].kept.standing.since
        told = len(await vigil.told())
    async with open_vigil(tmp_path, {"web": dns("a")}, url=either_url, clock=clock) as vigil:
        assert vigil.status() is UNHEALTHY
        assert vigil.watch.watched(STAGING)["web"].kept.standing.since == since
        vigil.world.down("a")
        await vigil.advance(5)
        assert len(await vigil.told()) == told


async def test_what_cannot_be_kept_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_vigil(tmp_path, {"web": dns("a")}) as vigil:
        await vigil.advance(6)
        with monkeypatch.context() as patch:

            async def refuse(_: object) -> None:
                raise Unavailable("the disk is full")

            patch.setattr(vigil.ground.logs, "write", refuse)
            await vigil.advance(10)
            assert vigil.status() is UNKNOWN
            assert vigil.watch.figures["trouble"] == "the disk is full"
        await vigil.advance(10)
        assert vigil.status() is HEALTHY
        assert vigil.watch.figures["trouble"] is None


async def test_a_removed_service_is_told_of_as_unknown(tmp_path: Path) -> None:
    async with open_vigil(tmp_path, {"web": dns("a"), "db": dns("b", service="db")}) as vigil:
        vigil.world.down("b")
        await vigil.advance(5)
        vigil.watch.hold(STAGING, {"web": dns("a")})
        await vigil.advance(2)
        last = (await vigil.told())[-1]
        assert (last["service"], last["service_status"]) == ("db", "unknown")
        assert (last["was"], last["status"]) == ("unhealthy", "healthy")


async def test_another_target_is_not_what_the_old_one_was(tmp_path: Path) -> None:
    async with open_vigil(tmp_path, {"web": dns("a")}) as vigil:
        await vigil.advance(3)
        vigil.watch.hold(STAGING, {"web": dns("a", fail_after=9)})
        assert vigil.status() is HEALTHY
        vigil.watch.hold(STAGING, {"web": dns("b")})
        assert vigil.status() is UNKNOWN


async def test_what_the_old_target_was_is_nothing_about_the_new_one(tmp_path: Path) -> None:
    async with open_vigil(tmp_path, {"web": dns("a", fail_after=1)}) as vigil:
        vigil.world.hanging["a"] = asyncio.Event()
        vigil.world.down("a")
        await vigil.advance(1)
        assert vigil.world.asked == ["a"]
        vigil.watch.hold(STAGING, {"web": dns("b", fail_after=1)})
        vigil.world.hanging["a"].set()
        await settle()
        assert vigil.status() is UNKNOWN
        await vigil.advance(2)
        assert vigil.status() is HEALTHY


async def test_targets_that_hang_blind_no_other_environment(tmp_path: Path) -> None:
    several = {f"p{number}": dns(f"h{number}") for number in range(5)}
    async with open_vigil(tmp_path, several, settings=ProbeSettings(concurrency=2)) as vigil:
        for number in range(5):
            vigil.world.hanging[f"h{number}"] = asyncio.Event()
        vigil.watch.hold(PRODUCTION, {"web": dns("shop")})
        await vigil.advance(3)
        assert vigil.status(environment=PRODUCTION) is HEALTHY
        assert len(set(vigil.world.asked) - {"shop"}) == 2
        for hanging in vigil.world.hanging.values():
            hanging.set()
        await vigil.advance(2)
        assert {vigil.status(name) for name in several} == {HEALTHY}


async def test_a_document_that_does_not_fit_any_more_stops_nobody_else(tmp_path: Path) -> None:
    async with open_vigil(tmp_path, {"web": {"kind": "smoke"}}) as vigil:
        assert vigil.watch.watched(STAGING) == {}
        with pytest.raises(Invalid, match=r"probes\.web\.kind: must be one of"):
            vigil.watch.hold(PRODUCTION, {"web": {"kind": "smoke"}})
