"""Health: how the services of environments are, and the probes that find out."""

from __future__ import annotations

from typing import Any

from dg.client.http import Http, path
from dg.client.wire import decode, rfc3339
from dg.core.environments.models import EnvironmentState
from dg.core.health.models import (
    EnvironmentHealth,
    HealthHistory,
    ProbeList,
    ProbeState,
    ProbeTest,
    Reading,
)
from dg.core.types import Environment


class Health:
    """Probes belong to an environment's document: setting one makes a new version of it."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def get(self, name: Environment) -> EnvironmentHealth:
        """How an environment and its services are now."""
        return decode(EnvironmentHealth, await self._http.get(path("environments", name, "health")))

    async def history(
        self,
        name: Environment,
        *,
        service: str | None = None,
        since: int | None = None,
        until: int | None = None,
        step: str | None = None,
    ) -> HealthHistory:
        """What probes found from `since` (a day ago) to `until` (now), both microseconds. Raises Invalid."""
        query = {
            "service": service,
            "since": None if since is None else rfc3339(since),
            "until": None if until is None else rfc3339(until),
            "step": step,
        }
        answer = await self._http.get(path("environments", name, "health", "history"), query)
        return decode(HealthHistory, answer)

    async def probes(self, name: Environment) -> tuple[ProbeState, ...]:
        """The probes of an environment, each with how it stands."""
        return decode(ProbeList, await self._http.get(path("environments", name, "probes"))).items

    async def set_probe(
        self,
        name: Environment,
        probe: str,
        definition: dict[str, Any] | None,
        *,
        reason: str | None = None,
        expected: int | None = None,
    ) -> EnvironmentState:
        """Set one probe, or remove it with None. Raises Invalid, Stale, NotFound."""
        body: dict[str, Any] = {"remove": True} if definition is None else {"definition": definition}
        body |= {"reason": reason} if reason else {}
        match = None if expected is None else f'"{expected}"'
        answer = await self._http.write("PUT", path("environments", name, "probes", probe), body, match=match)
        return decode(EnvironmentState, answer)

    async def test(
        self, name: Environment, probe: str, definition: dict[str, Any] | None = None
    ) -> ProbeTest:
        """Ask once now, and keep nothing of it. Raises Invalid, NotFound, Refused for a heartbeat."""
        body = {} if definition is None else {"definition": definition}
        answer = await self._http.write("PUT", path("environments", name, "probes", probe, "test"), body)
        return decode(ProbeTest, answer)

    async def beat(
        self, name: Environment, probe: str, *, ok: bool = True, message: str | None = None
    ) -> Reading:
        """Say that what pushes it is alive, or what is wrong. Raises NotFound, Refused."""
        body: dict[str, Any] = {"ok": ok} | ({"message": message} if message else {})
        answer = await self._http.write("PUT", path("environments", name, "probes", probe, "beat"), body)
        return decode(Reading, answer)
