"""How the secrets of environments are used, and who hears of old ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dg.core.access.models import SYSTEM, Action, Principal
from dg.core.access.service import Access
from dg.core.clock import SECOND, Clock
from dg.core.database import Database, Tx
from dg.core.environments import store
from dg.core.environments.models import SecretState, SecretUse
from dg.core.environments.store import Use
from dg.core.events import SecretAged
from dg.core.types import Environment

Naming = Callable[[Tx], Mapping[str, frozenset[str]]]
"""The secrets that the steps of each service's pipeline name."""


class SecretUsage:
    """`after` are the seconds from which on a secret is old; None: none ever is."""

    def __init__(
        self, db: Database, clock: Clock, access: Access, naming: Naming, after: float | None
    ) -> None:
        self._db = db
        self._clock = clock
        self._access = access
        self._naming = naming
        self._after = None if after is None else int(after * SECOND)

    async def list(self, principal: Principal, name: Environment) -> tuple[SecretUse, ...]:
        """Every secret of the environment by name; of services those that the caller may see."""
        self._access.require(principal, Action.ENVIRONMENT_READ, name)

        def work(tx: Tx) -> tuple[SecretUse, ...]:
            states, uses, naming = store.newest(tx, name)[0].secrets, store.uses(tx, name), self._naming(tx)
            seen = {
                service: names
                for service, names in naming.items()
                if principal.may(Action.PIPELINE_READ, None, service)
            }
            return tuple(
                self._use(secret, state, uses.get(secret, Use()), seen)
                for secret, state in sorted(states.items())
            )

        return await self._db.read(work)

    async def remind(self) -> None:
        """Say of each secret that has grown old that it is, once in each such time. Facts: SecretAged."""
        if self._after is None or not await self._db.read(self._due):
            return

        def work(tx: Tx) -> None:
            now = self._clock.micros()
            for name, secret, state in self._due(tx):
                days = (now - state.changed_at) // (86400 * SECOND)
                fact = SecretAged(environment=name.value, name=secret, version=state.version, days=days)
                tx.append(fact, by=SYSTEM)
                store.note_reminder(tx, name, secret, now)

        await self._db.write(work)

    def _use(self, name: str, state: SecretState, use: Use, seen: Mapping[str, frozenset[str]]) -> SecretUse:
        age = max(0, self._clock.micros() - state.changed_at)
        shown = use.used_by in seen
        return SecretUse(
            name=name,
            **state.model_dump(exclude={"set"}),
            age=age // SECOND,
            old=self._after is not None and age >= self._after,
            services=tuple(sorted(service for service, names in seen.items() if name in names)),
            used_at=use.used_at,
            used_by=use.used_by if shown else None,
        )

    def _due(self, tx: Tx) -> Sequence[tuple[Environment, str, SecretState]]:
        now, after = self._clock.micros(), self._after or 0
        found = []
        for name in Environment:
            uses = store.uses(tx, name)
            for secret, state in sorted(store.newest(tx, name)[0].secrets.items()):
                told = uses.get(secret, Use()).reminded_at
                # A value that was changed since is another one, and a clock that was set back tells nothing.
                since = state.changed_at if told is None or told < state.changed_at else told
                if now - since >= after:
                    found.append((name, secret, state))
        return found
