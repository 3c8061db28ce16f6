"""Who is asking, the one check that every service makes of what they may do, and their names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Protocol

from dg.core.access import store
from dg.core.access.denials import Denial, Denials
from dg.core.access.issuer import refusal
from dg.core.access.models import ACTIONS, NOWHERE, Action, Grant, Origin, Principal, is_personal
from dg.core.clock import Clock
from dg.core.database import Database, Tx
from dg.core.errors import Forbidden, NotFound, Problem, Unauthenticated
from dg.core.tasks import Tasks

log = logging.getLogger(__name__)

MAX_LENGTH = 8192
"""Characters of the longest credential that is looked at."""


class Authenticator(Protocol):
    """One way to prove who one is; another issuer or kind of key is another of these."""

    def recognises(self, credential: str) -> bool:
        """Whether it looks like one of this kind: cheap, and no proof of anything."""
        ...

    async def principal(self, credential: str, origin: Origin) -> Principal:
        """Whose it is. Raises Unauthenticated when it proves nothing, always with the words of `refusal`."""
        ...


class Access:
    """Authentication, and the one check of permission. `opening` puts it together."""

    def __init__(self, db: Database, clock: Clock, tasks: Tasks) -> None:
        self._db = db
        self._clock = clock
        self._tasks = tasks
        self._authenticators: list[Authenticator] = []
        self._denials = Denials()

    # --- who is asking

    def accept(self, authenticator: Authenticator) -> None:
        """Let this prove who one is too, asked after those before it."""
        self._authenticators.append(authenticator)

    async def authenticate(self, credential: str, origin: Origin = NOWHERE) -> Principal:
        """The principal whose credential this is. Raises Unauthenticated, whatever is wrong with it."""
        try:
            if len(credential) <= MAX_LENGTH:
                for authenticator in self._authenticators:
                    if authenticator.recognises(credential):
                        return await authenticator.principal(credential, origin)
            raise refusal()
        except Unauthenticated:
            self._denied(Denial())
            raise

    # --- what they may do

    def require(
        self, principal: Principal, action: Action, environment: str | None = None, service: str | None = None
    ) -> None:
        """Raise Forbidden unless `principal` may do `action` to that object; None is all of a kind."""
        if objection := self.objection(principal, action, environment, service):
            self._denied(Denial(principal, action, environment, service))
            raise objection

    def objection(
        self, principal: Principal, action: Action, environment: str | None, service: str | None
    ) -> Forbidden | None:
        """What `require` would raise, for those who only look ahead: it is no denied try."""
        if principal.may(action, environment, service):
            return None
        return _forbidden(principal, action, environment, service)

    def require_somewhere(self, principal: Principal, action: Action) -> None:
        """Raise Forbidden unless there is any object to which `principal` may do `action`: for lists."""
        if not principal.reaches(action):
            self._denied(Denial(principal, action))
            raise _forbidden(principal, action, None, None)

    def visible(
        self,
        principal: Principal,
        action: Action,
        environment: str | None,
        service: str | None,
        missing: NotFound,
    ) -> None:
        """Raise `missing`, as for an object that is not there, unless `principal` may read this one."""
        if not principal.may(action, environment, service):
            self._denied(Denial(principal, action, environment, service))
            raise missing

    def _denied(self, denial: Denial) -> None:
        if first := self._denials.count(denial, self._clock.monotonic()):
            self._tasks.spawn("record a denied try", self._record([(first, 1)]))

    async def _record(self, denials: Sequence[tuple[Denial, int]]) -> None:
        def work(tx: Tx) -> None:
            for denial, count in denials:
                denial.append(tx, count)

        try:
            await self._db.write(work)
        except Problem as problem:
            log.warning("denied tries are not in the ledger yet: %s", problem.message)
            for denial, count in denials:
                self._denials.put_back(denial, count)

    async def flush(self) -> None:
        """Record the repeats of denied tries: once a minute, and at the end."""
        if denials := self._denials.take(self._clock.monotonic()):
            await self._record(denials)

    # --- names

    async def names(self, ids: Iterable[str]) -> dict[str, str]:
        """What people read for principals, by id; an id that is not known stands for itself."""
        wanted = set(ids)

        def work(tx: Tx) -> dict[str, str]:
            return {key: store.name(tx, key) or key for key in wanted}

        return await self._db.glance(work)


def _forbidden(
    principal: Principal, action: Action, environment: str | None, service: str | None
) -> Forbidden:
    if principal.impersonated_by is not None and is_personal(action, environment):
        return Forbidden(
            f"{action} takes {principal.name} in person, and somebody else acts in that name here; "
            "sign in as yourself",
            reason="impersonated",
            action=str(action),
        )
    roles = sorted(ACTIONS.get(action, frozenset()))
    scope = "/".join(filter(None, (service, environment)))
    where = f" on {scope}" if scope else " everywhere" if _is_narrow(principal) else ""
    named = " or ".join(filter(None, (", ".join(roles[:-1]), *roles[-1:])))
    held = ", ".join(sorted({_held(grant) for grant in principal.grants})) or "no role"
    return Forbidden(
        f"{action}{where} needs the role {named}; {principal.name} has {held}. "
        "Ask an administrator for a token that has it",
        action=str(action),
        roles=[str(role) for role in roles],
    )


def _is_narrow(principal: Principal) -> bool:
    """Whether it holds a role in some places only, which then is why it may not."""
    return any(grant.service or grant.environment for grant in principal.grants)


def _held(grant: Grant) -> str:
    scope = "/".join(filter(None, (grant.service, grant.environment)))
    return f"{grant.role} on {scope}" if scope else grant.role
