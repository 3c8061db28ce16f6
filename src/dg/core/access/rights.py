"""What roles mean and what is bound to whom, in memory: what every request's principal is completed with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dg.core.access import store
from dg.core.access.models import GIVEN, Action, Binding, DefinedRole, Grant, Principal, Role
from dg.core.clock import Clock
from dg.core.database import Database, Tx
from dg.core.errors import Refused
from dg.core.events import changes_rights
from dg.core.ledger import Entry

_DESCRIPTIONS = {
    Role.VIEWER: "Sees everything, changes nothing.",
    Role.OPERATOR: "Deploys, cancels, retries and rolls back.",
    Role.APPROVER: "Opens gates, freezes and thaws; deploys nothing.",
    Role.ADMIN: "May do everything, and says who may do what.",
}


@dataclass(frozen=True)
class Rights:
    """The roles of a home's own by name, and the bindings that stand, by subject."""

    custom: Mapping[str, DefinedRole] = field(default_factory=dict)
    bindings: Mapping[str, Sequence[Binding]] = field(default_factory=dict)

    def roles(self) -> tuple[DefinedRole, ...]:
        """Every role: those that are given first, then by name."""
        return (*given_roles(), *self.custom.values())

    def actions(self, role: str) -> frozenset[Action]:
        """What a role may do; nothing when there is none of that name."""
        if role in GIVEN:
            return GIVEN[role]
        found = self.custom.get(role)
        return frozenset(map(Action, found.actions)) if found else frozenset()

    def having(self, action: Action) -> tuple[str, ...]:
        """The names of the roles that have `action`."""
        return tuple(sorted(role.name for role in self.roles() if action in role.actions))

    def complete(self, principal: Principal, now: int) -> Principal:
        """`principal` with what is bound to them at `now`, and with what their roles mean by now."""
        bound = list(self._bound(principal, now))
        own = [self._meant(grant) for grant in principal.grants] if self.custom else principal.grants
        if not bound and own is principal.grants:
            return principal
        return principal.model_copy(update={"grants": (*own, *bound)})

    def _bound(self, principal: Principal, now: int) -> Iterable[Grant]:
        if not self.bindings:
            return
        for subject in (principal.id, *principal.groups):
            for binding in self.bindings.get(subject, ()):
                if binding.stands(now):
                    yield granted(binding, self.actions(binding.role))

    def _meant(self, grant: Grant) -> Grant:
        if grant.role not in self.custom:
            return grant
        return grant.model_copy(update={"actions": self.actions(grant.role)})


def granted(binding: Binding, actions: frozenset[Action]) -> Grant:
    """What a binding gives."""
    return Grant(
        role=binding.role,
        actions=actions,
        environment=binding.environment,
        service=binding.service,
        binding=binding.id,
        expires_at=binding.expires_at,
    )


def given_roles() -> tuple[DefinedRole, ...]:
    """The roles that every home has, which never change."""
    return tuple(
        DefinedRole(
            name=role, description=_DESCRIPTIONS[role], actions=tuple(sorted(GIVEN[role])), given=True
        )
        for role in Role
    )


def of(tx: Tx, subjects: Iterable[str], now: int) -> Rights:
    """The rights that concern these subjects, as the transaction sees them."""
    custom = {role.name: role for role in store.roles(tx)}
    return Rights(custom, {subject: store.bindings_of(tx, subject, now) for subject in set(subjects)})


def check_unchanged(tx: Tx, given: Iterable[Grant]) -> None:
    """What was judged before the transaction must mean the same in it.

    Raises Refused (`role_changed`) where the role of a grant is gone, or says something else by now.
    """
    for grant in given:
        if actions_of(tx, grant.role) != grant.actions:
            raise Refused(
                f"the role {grant.role} was changed or deleted in this moment; look at it, and try again",
                reason="role_changed",
            )


def actions_of(tx: Tx, role: str) -> frozenset[Action] | None:
    """What a role may do as the transaction sees it; None when there is none of that name."""
    if role in GIVEN:
        return GIVEN[role]
    found = store.role(tx, role)
    return frozenset(map(Action, found.actions)) if found else None


class Directory:
    """The rights of one home as they are now: read once, and again after each fact that changes them."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self.known: Rights | None = None
        """What is so now, None while that is not known."""
        self._turn = 0

    async def rights(self) -> Rights:
        """What is so now. Raises Unavailable when it is not known and the database does not answer."""
        while self.known is None:
            turn = self._turn
            found = await self._db.read(self._read)
            # What was read before a change must not outlive it.
            if turn == self._turn:
                self.known = found
        return self.known

    def _read(self, tx: Tx) -> Rights:
        found: dict[str, list[Binding]] = {}
        for binding in store.standing_bindings(tx, self._clock.micros()):
            found.setdefault(binding.subject, []).append(binding)
        return Rights({role.name: role for role in store.roles(tx)}, found)

    def observe(self, entries: Sequence[Entry]) -> None:
        """Learn from the ledger that rights changed, before whoever changed them knows."""
        if any(changes_rights(entry.type) for entry in entries):
            self._turn += 1
            self.known = None
