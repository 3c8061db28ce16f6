"""What can be done about drift, and by whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dg.core.access.models import Action, Principal
from dg.core.access.service import Access
from dg.core.clock import SECOND, Clock, to_datetime
from dg.core.database import Database, Tx
from dg.core.drift import judge, store
from dg.core.drift.models import (
    Acceptance,
    AcceptDrift,
    DriftStatus,
    Finding,
    Lane,
    ServiceDrift,
)
from dg.core.environments.models import RunningCheck
from dg.core.errors import Invalid, NotFound, Refused
from dg.core.events import DriftAccepted, DriftWithdrawn
from dg.core.idempotency import Once, once
from dg.core.types import Environment
from dg.settings.tree import Drift as DriftSettings

Checks = Callable[[Tx, Environment], Mapping[str, RunningCheck]]
"""What says which version runs, by service."""
Lanes = Callable[[Tx, str, Environment], Lane]
"""What dg deployed, by service and environment."""


class Drift:
    """The actions on drift. `checks` and `lanes` say what is asked, and what the answer should be."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        access: Access,
        checks: Checks,
        lanes: Lanes,
        settings: DriftSettings,
    ) -> None:
        self._db = db
        self._clock = clock
        self._access = access
        self._checks = checks
        self._lanes = lanes
        self._settings = settings

    async def list(self, principal: Principal, name: Environment) -> tuple[ServiceDrift, ...]:
        """The services that are checked there, as far as the caller may see them."""
        self._access.require_somewhere(principal, Action.ENVIRONMENT_READ)

        def work(tx: Tx) -> tuple[ServiceDrift, ...]:
            return tuple(
                self._shown(tx, service, name)
                for service in sorted(self._checks(tx, name))
                if principal.may(Action.ENVIRONMENT_READ, name, service)
            )

        return await self._db.read(work)

    async def accept(
        self,
        principal: Principal,
        name: Environment,
        service: str,
        request: AcceptDrift,
        wish: Once | None = None,
    ) -> ServiceDrift:
        """Let the difference be that there is now. Another one is drift all the same.

        Raises Invalid, NotFound; Refused when nothing differs.
        """
        self._access.require(principal, Action.DRIFT_ACCEPT, name, service)
        now = self._clock.micros()
        self._check_until(request.until, now)
        acceptance = Acceptance(reason=request.reason, by=principal.id, at=now, until=request.until)

        def effect(tx: Tx) -> ServiceDrift:
            finding = self._drifted(tx, service, name)
            store.keep(tx, name, service, finding.model_copy(update={"acceptance": acceptance}))
            fact = DriftAccepted(
                service=service,
                environment=name.value,
                found=finding.found or "",
                reason=request.reason,
                until=request.until,
            )
            tx.append(fact, principal)
            return self._shown(tx, service, name)

        return await self._db.write(lambda tx: once(tx, principal, wish, ServiceDrift, self._clock, effect))

    async def withdraw(
        self, principal: Principal, name: Environment, service: str, reason: str, wish: Once | None = None
    ) -> ServiceDrift:
        """Take an acceptance back; where there is none, nothing changes. Raises NotFound."""
        self._access.require(principal, Action.DRIFT_ACCEPT, name, service)

        def effect(tx: Tx) -> ServiceDrift:
            finding = store.find(tx, name, service)
            self._require_check(tx, service, name)
            if finding is not None and finding.acceptance is not None:
                store.keep(tx, name, service, finding.model_copy(update={"acceptance": None}))
                tx.append(DriftWithdrawn(service=service, environment=name.value, reason=reason), principal)
            return self._shown(tx, service, name)

        return await self._db.write(lambda tx: once(tx, principal, wish, ServiceDrift, self._clock, effect))

    def _shown(self, tx: Tx, service: str, name: Environment) -> ServiceDrift:
        finding, lane = store.find(tx, name, service), self._lanes(tx, service, name)
        return judge.shown((service, name), finding, lane, self._clock.micros())

    def _drifted(self, tx: Tx, service: str, name: Environment) -> Finding:
        self._require_check(tx, service, name)
        finding, seen = store.find(tx, name, service), self._shown(tx, service, name)
        if finding is None or seen.status in (DriftStatus.SAME, DriftStatus.UNKNOWN):
            raise Refused(f"there is no difference to accept: {seen.sentence}", reason="no_drift")
        return finding

    def _require_check(self, tx: Tx, service: str, name: Environment) -> None:
        if service not in self._checks(tx, name):
            raise NotFound(f"nothing checks which version of `{service}` runs in {name}")

    def _check_until(self, until: int, now: int) -> None:
        longest = int(self._settings.accept_max * SECOND)
        if until <= now:
            raise Invalid("until: must be in the future", field="until")
        if until - now > longest:
            latest = to_datetime(now + longest)
            raise Invalid(
                f"until: must be {latest:%Y-%m-%d %H:%M} UTC or earlier (drift.accept_max)", field="until"
            )
