"""What can be asked about health, and by whom. Errors are those of `dg.core.errors`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dg.core.access.models import Action, Principal
from dg.core.access.service import Access
from dg.core.clock import SECOND, Clock
from dg.core.database import Database
from dg.core.errors import Invalid, NotFound, Refused
from dg.core.health import judging, store
from dg.core.health.announcing import Announcer
from dg.core.health.models import (
    EnvironmentHealth,
    HealthHistory,
    Outcome,
    ProbeState,
    ProbeTest,
    Reading,
    Sample,
    Series,
    ServiceHealth,
    Status,
    Uptime,
    worst,
)
from dg.core.health.probes import CommandProbe, HeartbeatProbe, read, read_one
from dg.core.health.recorder import Recorder
from dg.core.health.watch import Ask, Watch, Watched
from dg.core.text import plain
from dg.core.types import Environment
from dg.settings.probes import Probes as ProbeSettings

_FRESH = 10.0
"""Seconds for which a share of good tries is good enough."""
_MOST_SPANS = 2000
_USUAL_SPANS = 120
_LONGEST_MESSAGE = 300


class Health:
    """How services are. Reads come from memory but for history and the shares of good tries."""

    def __init__(
        self,
        logs: Database,
        clock: Clock,
        access: Access,
        watch: Watch,
        recorder: Recorder,
        announcer: Announcer,
        ask: Ask,
    ) -> None:
        self._logs = logs
        self._clock = clock
        self._access = access
        self._watch = watch
        self._recorder = recorder
        self._announcer = announcer
        self._ask = ask
        self._uptimes: dict[int, Uptime] = {}
        self._counted_at = -_FRESH

    async def health(self, principal: Principal, name: Environment) -> EnvironmentHealth:
        """How an environment and each of its services are, and since when."""
        self._access.require(principal, Action.ENVIRONMENT_READ, name)
        readings = await self._readings(name)
        services = tuple(
            self._service(name, service, [each for each in readings if each.service == service])
            for service in sorted({each.service for each in readings})
        )
        known = bool(services) and all(each.status is not Status.UNKNOWN for each in services)
        since = self._announcer.since(name)
        status = judging.verdict(each.status for each in services)
        return EnvironmentHealth(
            name=name,
            status=status,
            known=known,
            message=_said(services),
            since=since.at if since and since.status.value == status else None,
            uptime=_least([each.uptime for each in services]),
            services=services,
        )

    async def probes(self, principal: Principal, name: Environment) -> tuple[ProbeState, ...]:
        """The probes of an environment, each with how it stands."""
        self._access.require(principal, Action.ENVIRONMENT_READ, name)
        watched = self._watch.watched(name)
        return tuple(
            ProbeState(**dict(reading), definition=dict(watched[reading.name].definition))
            for reading in await self._readings(name)
            if reading.name in watched
        )

    async def history(
        self,
        principal: Principal,
        name: Environment,
        *,
        service: str | None = None,
        since: int | None = None,
        until: int | None = None,
        step: float | None = None,
    ) -> HealthHistory:
        """What probes found from `since` (a day ago) to `until` (now), `step` seconds together.

        A step is made longer where results are not kept so finely. Raises Invalid.
        """
        self._access.require(principal, Action.ENVIRONMENT_READ, name)
        until = self._clock.micros() if until is None else until
        since = until - store.DAY * SECOND if since is None else since
        length = (until - since) / SECOND
        if length <= 0:
            raise Invalid("since: must lie before until", field="since")
        wanted = step or max(1.0, length / _USUAL_SPANS)
        if length / wanted > _MOST_SPANS:
            raise Invalid(f"step: give one that makes at most {_MOST_SPANS} spans", field="step")
        level = self._recorder.level(wanted, since)
        whole = max(1, round(wanted / (level or 1))) * (level or 1)
        found = [
            (probe, each.probe.service, self._recorder.number((name, probe)))
            for probe, each in self._watch.watched(name).items()
            if service in (None, each.probe.service)
        ]
        numbers = [number for _, _, number in found if number is not None]
        spans = await self._logs.read(
            lambda tx: store.spans(tx, numbers, level, since, until, whole * SECOND)
        )
        return HealthHistory(
            since=since,
            until=until,
            step=whole,
            items=tuple(
                Series(probe=probe, service=of, spans=tuple(spans.get(number or 0, ())))
                for probe, of, number in found
            ),
        )

    async def test(
        self, principal: Principal, name: Environment, probe: str, definition: Mapping[str, Any] | None
    ) -> ProbeTest:
        """Ask once now, and keep nothing of it. Raises Invalid, NotFound; Refused for what is pushed.

        A definition of the caller's own is for who may change the environment, as its secrets are.
        """
        self._access.require(principal, Action.PROBE_TEST, name, self._service_of(name, probe))
        if definition is None:
            wanted = self._find(name, probe).probe
        else:
            self._access.require(principal, Action.ENVIRONMENT_UPDATE, name)
            wanted = read_one(probe, definition)
            if wanted.secret_names:
                self._access.require(principal, Action.SECRET_UPDATE, name)
        if isinstance(wanted, HeartbeatProbe):
            raise Refused("a heartbeat is pushed, so there is nothing to ask", reason="pushed")
        sample = await self._ask(name, wanted)
        return ProbeTest(
            outcome=sample.outcome,
            status=judging.level(wanted, sample.outcome),
            message=sample.message,
            response_time=sample.took,
            facts=sample.facts or {},
        )

    async def beat(
        self, principal: Principal, name: Environment, probe: str, *, ok: bool = True, message: str = ""
    ) -> Reading:
        """What is pushed was alive, or says what is wrong. Raises NotFound; Refused for another kind."""
        self._access.require(principal, Action.PROBE_BEAT, name, self._service_of(name, probe))
        watched = self._find(name, probe)
        if not isinstance(watched.probe, HeartbeatProbe):
            raise Refused(
                f"{probe} is asked by dg, so it takes no beats: its kind is {watched.probe.kind}",
                reason="not_pushed",
            )
        said = plain(message, limit=_LONGEST_MESSAGE)
        sample = Sample(Outcome.PASSED, message=said) if ok else Sample(Outcome.FAILED, message=said)
        await self._watch.beat(name, probe, sample)
        return next(each for each in await self._readings(name) if each.name == probe)

    def _service_of(self, name: Environment, probe: str) -> str | None:
        found = self._watch.watched(name).get(probe)
        return found.probe.service if found else None

    def _find(self, name: Environment, probe: str) -> Watched:
        found = self._watch.watched(name).get(probe)
        if found is None:
            raise NotFound(f"{name} has no probe {plain(probe, limit=64)}")
        return found

    async def _readings(self, name: Environment) -> list[Reading]:
        """How each probe stands, parents before their children."""
        uptimes = await self._shares()
        watched = self._watch.watched(name)
        shown = {probe: self._watch.status(each) for probe, each in watched.items()}
        probes = {probe: each.probe for probe, each in watched.items()}
        statuses = {probe: status for probe, (status, _) in shown.items()}
        now = self._clock.micros()
        return [
            Reading(
                name=probe,
                kind=each.probe.kind,
                service=each.probe.service,
                status=statuses[probe],
                severity=each.probe.severity,
                since=each.kept.standing.since or None,
                last_checked=each.kept.last_checked,
                response_time=each.kept.response_time,
                message=shown[probe][1],
                because=judging.cause(probes, statuses, probe),
                maintenance=each.probe.rests(now),
                depends_on=each.probe.depends_on,
                uptime=uptimes.get(self._recorder.number((name, probe)) or 0, Uptime()),
            )
            for probe, each in watched.items()
        ]

    async def _shares(self) -> dict[int, Uptime]:
        if self._clock.monotonic() - self._counted_at >= _FRESH:
            self._counted_at = self._clock.monotonic()
            now = self._clock.micros()
            self._uptimes = await self._logs.read(lambda tx: store.uptimes(tx, now))
        return self._uptimes

    def _service(self, name: Environment, service: str, readings: list[Reading]) -> ServiceHealth:
        status = worst([each.status for each in readings])
        decisive = next(each for each in readings if each.status is status)
        times = [each.response_time for each in readings if each.response_time is not None]
        checked = [each.last_checked for each in readings if each.last_checked is not None]
        since = self._announcer.since(name, service)
        return ServiceHealth(
            name=service,
            status=status,
            response_time=max(times, default=None),
            last_checked=max(checked, default=None),
            since=since.at if since and since.status is status else None,
            suspect=since.suspect if since and since.status is status else None,
            message=None if status is Status.HEALTHY else decisive.message,
            uptime=_least([each.uptime for each in readings]),
            readings=tuple(readings),
        )


class ProbeRules:
    """What an environment may say of its probes, for those who keep its document."""

    def __init__(self, settings: ProbeSettings, watch: Watch) -> None:
        self._settings = settings
        self._watch = watch

    def mistakes(self, probes: Mapping[str, Any]) -> list[tuple[str, str]]:
        """What is wrong with them, by field."""
        try:
            found = read(probes)
        except Invalid as problem:
            return [(error["field"], error["message"]) for error in _errors(problem)]
        off = "commands are off here; an admin allows them with `[probes] commands = 4`"
        return [
            (f"probes.{name}.kind", off)
            for name, probe in found.items()
            if isinstance(probe, CommandProbe) and not self._settings.commands
        ]

    def secrets(self, probes: Mapping[str, Any]) -> frozenset[str]:
        """The secrets that they are given: whoever says so could have them sent anywhere. Raises Invalid."""
        each = (read_one(name, definition) for name, definition in probes.items())
        return frozenset().union(*(probe.secret_names for probe in each))

    def hold(self, environment: Environment, probes: Mapping[str, Any]) -> None:
        """Ask these from now on."""
        self._watch.hold(environment, probes)


def _errors(problem: Invalid) -> list[dict[str, str]]:
    errors: Any = problem.details["errors"]
    return list(errors)


def _said(services: tuple[ServiceHealth, ...]) -> str:
    """One sentence on an environment."""
    if not services:
        return "nothing is probed here, so nothing is known"
    counts = {status: [each.name for each in services if each.status is status] for status in Status}
    worse = [
        f"{', '.join(counts[status])} {'is' if len(counts[status]) == 1 else 'are'} {status.value}"
        for status in (Status.UNHEALTHY, Status.DEGRADED, Status.UNKNOWN)
        if counts[status]
    ]
    return "; ".join(worse) or "all services are healthy"


def _least(uptimes: list[Uptime]) -> Uptime:
    """Of several shares the least, for each time."""
    found: dict[str, float] = {}
    for uptime in uptimes:
        for name, share in uptime.model_dump(exclude_none=True).items():
            found[name] = min(share, found.get(name, 1.0))
    return Uptime(**found)
