"""The watch over all environments: asks what is due, believes what it finds by thresholds, and tells changes.

One loop starts the tries; each is a task of its own, of each environment at most `concurrency` at once, so
that none is blind because another one's targets hang. A second loop keeps what they found and brings changes
into the ledger.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from dg.core.clock import Clock
from dg.core.errors import Problem
from dg.core.health import judging
from dg.core.health.announcing import Announcer, Told
from dg.core.health.models import Outcome, Sample, Status
from dg.core.health.network import Network
from dg.core.health.probes import HeartbeatProbe, Probe, patience, read
from dg.core.health.recorder import FLUSH, Key, Recorder
from dg.core.health.schedule import Schedule
from dg.core.health.store import Kept
from dg.core.tasks import Tasks
from dg.core.types import Environment
from dg.settings.probes import Probes as ProbeSettings

log = logging.getLogger(__name__)

_LAGS = 1000
_LOOK = 0.25
"""Seconds within which a change of what is to be asked is noticed."""
_TOLD_WITHIN = 0.5
"""Seconds within which a change is told."""
_WITNESSES = 3
"""Other hosts that are asked before a silence counts as this side's own."""
_NOT_YET = "was not looked at yet"
_TOO_OLD = "was not looked at for a while"


class Ask(Protocol):
    """Makes one try of a probe: within its time, and whatever happens a sample."""

    async def __call__(self, environment: Environment, probe: Probe) -> Sample: ...


@dataclass
class Watched:
    """One probe with what is known of it. `definition` is how it stands in the environment's document."""

    probe: Probe
    definition: Mapping[str, Any]
    kept: Kept = field(default_factory=Kept)
    host: str | None = None
    busy: bool = False

    @property
    def status(self) -> Status:
        return self.kept.standing.status


class Watch:
    """What all probes found, and who asks them. `chance` gives numbers from 0 to 1."""

    def __init__(
        self,
        ask: Ask,
        recorder: Recorder,
        announcer: Announcer,
        *,
        clock: Clock,
        tasks: Tasks,
        chance: Callable[[], float],
        settings: ProbeSettings,
    ) -> None:
        self._ask = ask
        self._recorder = recorder
        self._announcer = announcer
        self._clock = clock
        self._tasks = tasks
        self._schedule: Schedule[Key] = Schedule(chance)
        self._network = Network()
        self._watched: dict[Environment, dict[str, Watched]] = {each: {} for each in Environment}
        self._earlier: dict[Key, Kept] = {}
        self._free = {each: asyncio.Semaphore(settings.concurrency) for each in Environment}
        self._stirred = asyncio.Event()
        self._changed = False
        self._lags: deque[float] = deque(maxlen=_LAGS)
        self._asked = 0

    @property
    def figures(self) -> dict[str, Any]:
        """For the diagnostics: probes, tries since the start, and seconds by which they came late."""
        lags = sorted(self._lags) or [0.0]
        return {
            "probes": sum(map(len, self._watched.values())),
            "asked": self._asked,
            "lag": {"p95": round(lags[int(len(lags) * 0.95)], 4), "worst": round(lags[-1], 4)},
            "trouble": self._recorder.trouble or self._announcer.trouble,
        }

    def watched(self, environment: Environment) -> Mapping[str, Watched]:
        """The probes of an environment by name."""
        return self._watched[environment]

    def status(self, watched: Watched) -> tuple[Status, str | None]:
        """What is known of a probe now, and why it is not healthy: what was found long ago is not known."""
        kept = watched.kept
        now = self._clock.micros()
        if kept.last_checked is None:
            return Status.UNKNOWN, _NOT_YET
        old = abs(now - kept.last_checked) > patience(watched.probe)
        if old and not watched.probe.rests(now):
            return Status.UNKNOWN, _TOO_OLD
        return watched.status, kept.message

    def hold(self, environment: Environment, definitions: Mapping[str, Any]) -> None:
        """Ask these from now on. What is known of those that stay is kept. Raises Invalid."""
        probes = read(definitions)
        before = self._watched[environment]
        self._watched[environment] = {
            name: self._take_up(environment, name, probe, definitions[name], before.get(name))
            for name, probe in probes.items()
        }
        everything = [
            (environment, name, each.probe)
            for environment, found in self._watched.items()
            for name, each in found.items()
        ]
        now = self._clock.monotonic()
        self._schedule.hold({(place, name): probe.interval for place, name, probe in everything}, now)
        for name, probe in probes.items():
            known = before.get(name)
            if isinstance(probe, HeartbeatProbe) and (known is None or known.probe != probe):
                self._schedule.postpone((environment, name), now + probe.interval + probe.grace)
        self._stirred.set()
        self._changed = True

    def _take_up(
        self, environment: Environment, name: str, probe: Probe, definition: Any, known: Watched | None
    ) -> Watched:
        if known is None:
            kept = self._earlier.pop((environment, name), Kept())
        elif known.probe.address != probe.address:
            kept = Kept()
        else:
            kept = known.kept
        return Watched(probe, definition, kept)

    async def begin(self, documents: Mapping[Environment, Mapping[str, Any]]) -> None:
        """Take up what the last server knew, and the probes of all environments."""
        self._earlier = await self._recorder.load()
        await self._announcer.load()
        for environment, definitions in documents.items():
            try:
                self.hold(environment, definitions)
            except Problem as problem:
                log.error("the probes of %s are not asked: %s", environment, problem.message)

    async def run(self) -> None:
        """Start every try when it is due, until cancelled."""
        while True:
            await self._until_there_is_something_to_do()
            while (due := self._schedule.take(self._clock.monotonic())) is not None:
                self._start(*due.key, at=self._clock.monotonic() - due.late)
            wait = self._schedule.wait(self._clock.monotonic())
            await self._clock.sleep(min(_LOOK if wait is None else wait, _LOOK))

    async def _until_there_is_something_to_do(self) -> None:
        while not any(self._watched.values()):
            self._stirred.clear()
            await self._stirred.wait()

    def _start(self, environment: Environment, name: str, *, at: float) -> None:
        watched = self._watched[environment].get(name)
        if watched is None or watched.busy or watched.probe.rests(self._clock.micros()):
            return
        watched.busy = True
        self._tasks.spawn(f"probe {environment}/{name}", self._once(environment, name, watched, at))

    async def _once(self, environment: Environment, name: str, watched: Watched, at: float) -> None:
        try:
            sample = await self._tried(environment, watched.probe, at)
            now = self._watched[environment].get(name)
            # What a target was is nothing about the one that stands in its place by now.
            if now is not None and now.probe == watched.probe:
                await self.settle(environment, name, sample)
        finally:
            watched.busy = False

    async def _tried(self, environment: Environment, probe: Probe, at: float) -> Sample:
        """One try that was due `at`."""
        if isinstance(probe, HeartbeatProbe):
            return Sample(Outcome.FAILED, message="no beat came in time")
        async with self._free[environment]:
            self._lags.append(self._clock.monotonic() - at)
            self._asked += 1
            return await self._ask(environment, probe)

    async def settle(self, environment: Environment, name: str, sample: Sample) -> None:
        """Believe a try, as far as thresholds and the own network let it be believed."""
        watched = self._watched[environment].get(name)
        if watched is None:
            return
        sample = await self._as_witnessed(watched, sample)
        if self._recorder.trouble is not None:
            message = f"what was found cannot be kept: {self._recorder.trouble}"
            sample = replace(sample, outcome=Outcome.UNKNOWN, message=message)
        now = self._clock.micros()
        standing = judging.judge(watched.kept.standing, watched.probe, sample, now)
        changed = standing.status is not watched.status
        watched.kept = Kept(
            standing=standing,
            last_checked=now,
            response_time=sample.took,
            message=sample.message or None,
        )
        self._recorder.add((environment, name), now, sample, watched.kept)
        if changed:
            self._changed = True

    async def _as_witnessed(self, watched: Watched, sample: Sample) -> Sample:
        """A silence of everybody at once is no failure of anybody: the own network is gone."""
        host = sample.host
        if host is None or sample.outcome is Outcome.UNKNOWN:
            return sample
        watched.host = host
        self._network.hold(frozenset(self._hosts()))
        self._network.note(host, heard=not sample.silent)
        if not sample.silent or not self._network.comparable(host):
            return sample
        standing = judging.judge(watched.kept.standing, watched.probe, sample, 0)
        if await self._is_heard(host, ask=standing.status is not watched.status):
            return sample
        return replace(
            sample,
            outcome=Outcome.UNKNOWN,
            message=f"nothing answers any more, so this may be dg's own network ({sample.message})",
        )

    def _hosts(self) -> dict[str, tuple[Environment, Probe]]:
        """Where answers were found or missed last, with a probe of each."""
        return {
            each.host: (environment, each.probe)
            for environment, found in self._watched.items()
            for each in found.values()
            if each.host is not None
        }

    async def _is_heard(self, host: str, *, ask: bool) -> bool:
        """Whether another host is heard; asked anew where much depends on it."""
        witnesses = self._network.witnesses(host)
        if not ask or not witnesses:
            return bool(witnesses)
        hosts = self._hosts()
        for witness in witnesses[-_WITNESSES:]:
            sample = await self._ask(*hosts[witness])
            heard = sample.host == witness and not sample.silent and sample.outcome is not Outcome.UNKNOWN
            self._network.note(witness, heard=heard)
            if heard:
                return True
        return False

    async def beat(self, environment: Environment, name: str, sample: Sample) -> None:
        """A heartbeat came; the next is due from now on."""
        probe = self._watched[environment][name].probe
        if isinstance(probe, HeartbeatProbe):
            until = self._clock.monotonic() + probe.interval + probe.grace
            self._schedule.postpone((environment, name), until)
            self._stirred.set()
        await self.settle(environment, name, sample)

    async def keep(self) -> None:
        """Keep results and tell changes, until cancelled."""
        flushed = self._clock.monotonic()
        while True:
            await self._until_there_is_something_to_do()
            await self._clock.sleep(_TOLD_WITHIN)
            if self._changed:
                # Before it is told: what changes meanwhile is to be told, too.
                self._changed = False
                if not await self._announcer.tell(self._statuses()):
                    self._changed = True
            if self._clock.monotonic() - flushed >= FLUSH:
                await self.flush()
                flushed = self._clock.monotonic()

    async def flush(self) -> None:
        """Keep what was found so far."""
        await self._recorder.flush()

    def _statuses(self) -> dict[Environment, dict[str, Told]]:
        return {place: self._told(found) for place, found in self._watched.items()}

    def _told(self, found: Mapping[str, Watched]) -> dict[str, Told]:
        """What each service is, and the probe by which it is so."""
        probes = {name: each.probe for name, each in found.items()}
        statuses = {name: each.status for name, each in found.items()}
        told: dict[str, Told] = {}
        for service, status in judging.services(probes, statuses).items():
            name = next(
                name
                for name, probe in probes.items()
                if probe.service == service and statuses[name] is status
            )
            message = found[name].kept.message
            told[service] = Told(status, name, message, judging.cause(probes, statuses, name))
        return told
