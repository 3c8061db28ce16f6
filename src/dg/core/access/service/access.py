"""Who is asking, the one check that every service makes of what they may do, and their names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Protocol

from dg.core.access import asked, rights, store
from dg.core.access.denials import NOBODY, Denial, Denials
from dg.core.access.issuer import refusal
from dg.core.access.models import (
    ACTIONS,
    NOWHERE,
    Action,
    Decision,
    Grant,
    Origin,
    Principal,
    is_personal,
)
from dg.core.access.rights import Directory, Rights
from dg.core.access.standing import CLERK, standing
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

    def __init__(self, db: Database, clock: Clock, tasks: Tasks, directory: Directory) -> None:
        self._db = db
        self._clock = clock
        self._tasks = tasks
        self._directory = directory
        self._authenticators: list[Authenticator] = []
        self._denials = Denials()

    # --- who is asking

    def accept(self, authenticator: Authenticator) -> None:
        """Let this prove who one is too, asked after those before it."""
        self._authenticators.append(authenticator)

    async def authenticate(self, credential: str, origin: Origin = NOWHERE) -> Principal:
        """The principal whose credential this is, with all that is bound to them now.

        Raises Unauthenticated, whatever is wrong with the credential.
        """
        try:
            if len(credential) <= MAX_LENGTH:
                for authenticator in self._authenticators:
                    if authenticator.recognises(credential):
                        found = await authenticator.principal(credential, origin)
                        known = self._directory.known or await self._directory.rights()
                        return known.complete(found, self._clock.micros())
            raise refusal()
        except Unauthenticated as problem:
            raise self.unproved(problem, origin) from None

    def unproved(self, problem: Unauthenticated, origin: Origin) -> Unauthenticated:
        """Count that somebody at `origin` proved nothing; gives back `problem`, to be raised."""
        self._denied(Denial(NOBODY.model_copy(update={"origin": origin})))
        return problem

    def now(self) -> int:
        """The moment at which rights count, in microseconds."""
        return self._clock.micros()

    async def rights(self) -> Rights:
        """What roles mean now, and what is bound to whom."""
        return await self._directory.rights()

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

    def require_visible(
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

    def require_to_give(
        self, principal: Principal, action: Action, grant: Grant, until: int | None = None
    ) -> None:
        """Raise Forbidden unless `principal` may give `grant`: nobody gives more than they have, nor longer.

        `action` is what giving is called there; `until` (microseconds) is when it ends by itself, None never.
        """
        where = (grant.environment, grant.service)
        for needed in (action, *sorted(grant.actions)):
            self.require(principal, needed, *where)
            if not any(_outlasts(held, until) for held in principal.grants if held.allows(needed, *where)):
                self._denied(Denial(principal, action, *where))
                raise Forbidden(
                    f"{principal.name} has {needed} for a time only; give it for no longer than that",
                    action=str(action),
                    roles=[],
                )

    # --- why

    async def explain(
        self,
        principal: Principal,
        action: str,
        environment: str | None = None,
        service: str | None = None,
        *,
        of: str | None = None,
    ) -> Decision:
        """Whether the caller may do `action` to that object, and why; None is all of a kind.

        `of` asks for another, by what bindings call them, as far as is known without them: the groups that
        Clerk or Slack say they are in are not. Raises Invalid, and Forbidden for who may not read bindings.
        """
        wanted, (where, what) = asked.action(action), asked.place(environment, service)
        who = principal if of is None else await self._other(principal, of)
        rights_now = await self.rights()
        held = (grant for grant in who.grants if grant.allows(wanted, where, what))
        grant = next(held, None) if who.may(wanted, where, what) else None
        return Decision(
            principal=who.id,
            name=who.name,
            action=wanted,
            environment=where,
            service=what,
            allowed=grant is not None,
            why=_allowed(grant) if grant else _lack(who, wanted, where, what),
            grant=grant,
            roles=rights_now.having(wanted),
        )

    async def _other(self, principal: Principal, of: str) -> Principal:
        self.require(principal, Action.BINDING_READ)
        subject = asked.subject(of)
        now = self._clock.micros()

        def work(tx: Tx) -> Principal:
            nobody = Principal(id=subject, name=store.name(tx, subject) or subject)
            if (found := standing(tx, [subject], now).get(subject)) is not None:
                return found
            # Who may still come has what is bound to them; who has no good credential any more has not.
            may_come = asked.is_group(subject) or subject.startswith(CLERK)
            return rights.of(tx, [subject], now).complete(nobody, now) if may_come else nobody

        return await self._db.read(work)

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
    if _is_barred(principal, action, environment):
        lack = _lack(principal, action, environment, service)
        return Forbidden(f"{lack}: sign in as yourself", reason="impersonated", action=str(action))
    return Forbidden(
        f"{_lack(principal, action, environment, service)}. Ask an administrator for it",
        action=str(action),
        roles=[str(role) for role in sorted(ACTIONS.get(action, frozenset()))],
        **{name: str(value) for name, value in (("environment", environment), ("service", service)) if value},
    )


def _lack(principal: Principal, action: Action, environment: str | None, service: str | None) -> str:
    """What is missing, as a sentence without its end."""
    if _is_barred(principal, action, environment):
        return f"{action} takes {principal.name} in person, and somebody else acts in that name here"
    roles = sorted(ACTIONS.get(action, frozenset()))
    scope = "/".join(filter(None, (service, environment)))
    where = f" on {scope}" if scope else " everywhere" if _is_narrow(principal) else ""
    named = " or ".join(filter(None, (", ".join(roles[:-1]), *roles[-1:])))
    held = ", ".join(sorted({grant.spoken for grant in principal.grants})) or "no role"
    return f"{action}{where} needs the role {named}; {principal.name} has {held}"


def _is_barred(principal: Principal, action: Action, environment: str | None) -> bool:
    """Whether somebody acts in another's name, and not even with that one's role may do this."""
    return principal.impersonated_by is not None and is_personal(action, environment)


def _is_narrow(principal: Principal) -> bool:
    """Whether it holds a role in some places only, which then is why it may not."""
    return any(grant.service or grant.environment for grant in principal.grants)


def _allowed(grant: Grant) -> str:
    source = f"by the binding {grant.binding}" if grant.binding else "by the credential itself"
    return f"{grant.spoken}, {source}"


def _outlasts(grant: Grant, until: int | None) -> bool:
    return grant.expires_at is None or (until is not None and until <= grant.expires_at)
