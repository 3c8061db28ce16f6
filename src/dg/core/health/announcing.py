"""Brings changes of health into the ledger: once each, in one transaction with what it was told last."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dg.core.access.models import SYSTEM
from dg.core.clock import Clock
from dg.core.database import Database, Tx
from dg.core.errors import Problem
from dg.core.events import EnvironmentHealthChanged
from dg.core.health import judging, store
from dg.core.health.models import Status, Suspect, worst
from dg.core.health.store import Since
from dg.core.types import Environment

log = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds until a ledger that refused a change is tried again."""
_ALL = ""
"""The service that stands for the whole environment."""


Suspicion = Callable[[Tx, str, Environment, int], Suspect | None]
"""The deployment of a service in an environment that had begun shortly before a moment (microseconds)."""


@dataclass(frozen=True)
class Told:
    """What a service is; the probe by which it is so, what that says, and what it depends on that failed."""

    status: Status
    probe: str
    message: str | None = None
    because: str | None = None


class Announcer:
    """Knows what the ledger was told. `trouble` says why it takes no more."""

    def __init__(self, db: Database, clock: Clock, suspect: Suspicion | None = None) -> None:
        self._db = db
        self._clock = clock
        self._suspect = suspect
        self._told: dict[tuple[str, str], Since] = {}
        self._not_before = 0.0
        self.trouble: str | None = None

    async def load(self) -> None:
        """What the ledger was told by the server before."""
        self._told = await self._db.read(store.told)

    def since(self, environment: Environment, service: str = _ALL) -> Since | None:
        """What a service, or the environment, is since when; None when nothing was ever known."""
        return self._told.get((environment.value, service))

    async def tell(self, now: Mapping[Environment, Mapping[str, Told]]) -> bool:
        """Tell what is not as it was. False when that has to be tried again."""
        if self._clock.monotonic() < self._not_before:
            return False
        if not any(self._changed(environment, services) for environment, services in now.items()):
            return True
        try:
            self._told = await self._db.write(lambda tx: self._work(tx, now))
        except Problem as problem:
            self._not_before = self._clock.monotonic() + _PATIENCE
            if self.trouble is None:
                log.error("a change of health cannot be told: %s", problem.message)
            self.trouble = problem.message
            return False
        self.trouble = None
        return True

    def _work(self, tx: Tx, now: Mapping[Environment, Mapping[str, Told]]) -> dict[tuple[str, str], Since]:
        told = dict(self._told)
        for environment, services in now.items():
            if changed := self._changed(environment, services):
                self._tell(tx, told, environment, services, changed)
        return told

    def _tell(
        self,
        tx: Tx,
        told: dict[tuple[str, str], Since],
        environment: Environment,
        services: Mapping[str, Told],
        changed: Mapping[str, Told | None],
    ) -> None:
        at = self._clock.micros()
        was = self._status(environment, _ALL)
        status = Status(judging.verdict(each.status for each in services.values()))
        for service, new in changed.items():
            suspect = self._suspected(tx, environment, service, new, at)
            tx.append(
                EnvironmentHealthChanged(
                    environment=environment.value,
                    status=status.value,
                    was=was.value,
                    service=service,
                    service_status=(new.status if new else Status.UNKNOWN).value,
                    service_was=self._status(environment, service).value,
                    probe=new.probe if new else None,
                    message=new.message if new else "no probe looks at it any more",
                    because=new.because if new else None,
                    deployment=suspect.deployment if suspect else None,
                    number=suspect.number if suspect else None,
                ),
                by=SYSTEM,
            )
            _note(tx, told, environment, service, Since(new.status, at, suspect) if new else None)
        if status is not was or not services:
            _note(tx, told, environment, _ALL, Since(status, at) if services else None)

    def _suspected(
        self, tx: Tx, environment: Environment, service: str, new: Told | None, at: int
    ) -> Suspect | None:
        """The deployment that may be why it is worse; one that was suspected stays so until it is better."""
        was = self._told.get((environment.value, service), Since(Status.UNKNOWN, 0))
        if new is None or new.status not in (Status.DEGRADED, Status.UNHEALTHY):
            return None
        if was.suspect is not None or worst([was.status, new.status]) is was.status:
            return was.suspect
        return self._suspect(tx, service, environment, at) if self._suspect else None

    def _changed(self, environment: Environment, services: Mapping[str, Told]) -> dict[str, Told | None]:
        """The services that are not what was told; None for one that has no probe any more."""
        gone = {
            service: None
            for place, service in self._told
            if place == environment and service != _ALL and service not in services
        }
        new = {
            service: each
            for service, each in services.items()
            if each.status is not self._status(environment, service)
        }
        return {**gone, **new}

    def _status(self, environment: Environment, service: str) -> Status:
        return self._told.get((environment.value, service), Since(Status.UNKNOWN, 0)).status


def _note(
    tx: Tx, told: dict[tuple[str, str], Since], environment: Environment, service: str, new: Since | None
) -> None:
    if new is None:
        store.forget(tx, environment, service)
        told.pop((environment.value, service), None)
    else:
        store.tell(tx, environment, service, new)
        told[environment.value, service] = new
