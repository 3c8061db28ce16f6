"""Roles as callers see them: those that are given, and those that a home makes for itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dg.core.access import asked, store
from dg.core.access.models import GIVEN, Action, CreateRole, DefinedRole, Grant, Principal, UpdateRole
from dg.core.access.service.access import Access
from dg.core.access.store import keys
from dg.core.clock import Clock
from dg.core.database import Database, Tx
from dg.core.errors import Invalid, NotFound, Refused
from dg.core.events import RoleCreated, RoleDeleted, RoleUpdated
from dg.core.idempotency import Once
from dg.core.idempotency import once as do_once
from dg.core.text import counted, plain

_Effect = Callable[[Tx], DefinedRole]

MOST = 200
"""Roles of a home's own."""


class Roles:
    """The actions on roles. A role counts everywhere, so only whoever may do so everywhere changes one."""

    def __init__(self, db: Database, clock: Clock, access: Access) -> None:
        self._db = db
        self._clock = clock
        self._access = access

    async def list(self, principal: Principal) -> tuple[DefinedRole, ...]:
        """Every role: those that are given first, then by name."""
        self._access.require_somewhere(principal, Action.ROLE_READ)
        return (await self._access.rights()).roles()

    async def get(self, principal: Principal, name: str) -> DefinedRole:
        """One role. Raises NotFound."""
        found = {role.name: role for role in await self.list(principal)}
        if name not in found:
            raise _missing(name)
        return found[name]

    async def create(
        self, principal: Principal, request: CreateRole, once: Once | None = None
    ) -> DefinedRole:
        """Make a role. Raises Forbidden for an action that the caller lacks, Refused for a name in use."""
        self._access.require(principal, Action.ROLE_CREATE)
        now = self._clock.micros()
        actions = asked.actions(request.actions)
        role = DefinedRole(
            name=asked.new_role(request.name),
            description=asked.description(request.description),
            actions=actions,
            created_at=now,
            created_by=principal.id,
            updated_at=now,
        )
        for action in actions:
            self._access.require(principal, action)

        def effect(tx: Tx) -> DefinedRole:
            if store.role(tx, role.name):
                raise Refused(
                    f"there is a role {role.name} already; change it, or choose a name", reason="exists"
                )
            if len(store.roles(tx)) >= MOST:
                raise Refused(
                    f"there are {MOST} roles already; delete one that nobody holds", reason="too_many"
                )
            store.insert_role(tx, role)
            tx.append(RoleCreated(role=role.name, actions=list(role.actions)), principal)
            return role

        return await self._once(principal, once, effect)

    async def update(
        self, principal: Principal, name: str, request: UpdateRole, once: Once | None = None
    ) -> DefinedRole:
        """Change a role; whoever holds it may do other things at once.

        Raises Forbidden for an action that is added and the caller lacks or has for a time only, Refused for
        a given role, NotFound.
        """
        self._access.require(principal, Action.ROLE_UPDATE)
        add, remove = asked.actions(request.add, "add"), asked.actions(request.remove, "remove")
        if both := set(add) & set(remove):
            raise Invalid(f"add: {min(both)} stands in remove, too", field="add")
        said = None if request.description is None else asked.description(request.description)
        if not add and not remove and said is None:
            raise Invalid("nothing to change: send description, add or remove")
        if add:
            # Whoever holds the role keeps what it gets, so a right for a time is not put into it.
            given = Grant(role=name, actions=frozenset(add))
            self._access.require_to_give(principal, Action.ROLE_UPDATE, given)

        def effect(tx: Tx) -> DefinedRole:
            role = _custom(tx, name)
            changed = role.model_copy(
                update={
                    "actions": tuple(sorted((set(role.actions) | set(add)) - set(remove))),
                    "description": role.description if said is None else said,
                    "updated_at": self._clock.micros(),
                }
            )
            store.update_role(tx, changed)
            gone, new = set(role.actions) - set(changed.actions), set(changed.actions) - set(role.actions)
            tx.append(RoleUpdated(role=name, added=sorted(new), removed=sorted(gone)), principal)
            return changed

        return await self._once(principal, once, effect)

    async def delete(self, principal: Principal, name: str, once: Once | None = None) -> DefinedRole:
        """Remove a role. Raises Refused for a given one and while somebody holds it, NotFound."""
        self._access.require(principal, Action.ROLE_DELETE)

        def effect(tx: Tx) -> DefinedRole:
            role, now = _custom(tx, name), self._clock.micros()
            bindings, tokens = store.bindings_with(tx, name, now), store.tokens_with(tx, name, now)
            held = keys.with_role(tx, name, now)
            sessions = store.sessions_with(tx, name, now)
            if bindings or tokens or held or sessions:
                holders = {"binding": bindings, "token": tokens, "API key": held, "session": sessions}
                raise Refused(
                    f"the role {name} is held by {_counted(holders)}; take back what holds it first",
                    reason="in_use",
                    bindings=bindings,
                    tokens=tokens,
                    keys=held,
                    sessions=sessions,
                )
            store.delete_role(tx, name)
            tx.append(RoleDeleted(role=name), principal)
            return role

        return await self._once(principal, once, effect)

    async def _once(self, principal: Principal, key: Once | None, effect: _Effect) -> DefinedRole:
        return await self._db.write(lambda tx: do_once(tx, principal, key, DefinedRole, self._clock, effect))


def _counted(numbers: Mapping[str, int]) -> str:
    """`1 binding, 2 tokens and 1 session`: those that there are."""
    words = [counted(number, what) for what, number in numbers.items() if number]
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _custom(tx: Tx, name: str) -> DefinedRole:
    if name in GIVEN:
        raise Refused(f"the role {name} is given and never changes; make one of your own", reason="given")
    role = store.role(tx, name)
    if role is None:
        raise _missing(name)
    return role


def _missing(name: str) -> NotFound:
    return NotFound(f"there is no role {plain(name, limit=64)}; `dg role list` shows those there are")
