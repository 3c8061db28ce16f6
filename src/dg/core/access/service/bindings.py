"""Bindings as callers see them: which role is given to whom, where and until when."""

from __future__ import annotations

from dg.core import schema
from dg.core.access import asked, lockout, store
from dg.core.access.models import Action, Binding, BindingPage, CreateBinding, Principal
from dg.core.access.reach import reach
from dg.core.access.rights import check_unchanged
from dg.core.access.service.access import Access
from dg.core.clock import Clock, Ids
from dg.core.database import Database, Tx
from dg.core.errors import Invalid, NotFound, Refused
from dg.core.events import BindingCreated, BindingRevoked
from dg.core.idempotency import Once
from dg.core.idempotency import once as do_once
from dg.core.text import plain

MOST = 10_000
"""Bindings that stand at once: they are kept in memory."""
MOST_ON_PAGE = 200

_b = schema.bindings.c


class Bindings:
    """The actions on bindings. Errors are those of `dg.core.errors`."""

    def __init__(self, db: Database, clock: Clock, ids: Ids, access: Access) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._access = access

    async def list(
        self,
        principal: Principal,
        *,
        subject: str | None = None,
        role: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> BindingPage:
        """The bindings that stand within the caller's reach, in the order in which they were made.

        Raises Invalid for a bad limit.
        """
        self._access.require_somewhere(principal, Action.BINDING_READ)
        if not 1 <= limit <= MOST_ON_PAGE:
            raise Invalid(f"limit: from 1 to {MOST_ON_PAGE}, not {limit}", field="limit")
        within, now = reach(principal, Action.BINDING_READ, _b.environment, _b.service), self._clock.micros()
        found = await self._db.read(
            lambda tx: store.page_of_bindings(
                tx, within, now, subject=subject, role=role, after=cursor or "", limit=limit + 1
            )
        )
        more = found[limit - 1].id if len(found) > limit else None
        return BindingPage(items=tuple(found[:limit]), next_cursor=more)

    async def create(self, principal: Principal, request: CreateBinding, once: Once | None = None) -> Binding:
        """Give a role. Raises Forbidden for more than the caller's own, or for longer, and Invalid."""
        grant = asked.grant(await self._access.rights(), request.role, request.environment, request.service)
        now = self._clock.micros()
        if request.expires_at is not None and request.expires_at <= now:
            raise Invalid("expires_at: is not in the future", field="expires_at")
        self._access.require_to_give(principal, Action.BINDING_CREATE, grant, request.expires_at)
        binding = Binding(
            id=self._ids.new(),
            subject=asked.subject(request.subject),
            role=grant.role,
            environment=grant.environment,
            service=grant.service,
            created_at=now,
            created_by=principal.id,
            expires_at=request.expires_at,
        )

        def effect(tx: Tx) -> Binding:
            check_unchanged(tx, [grant])
            if store.count_bindings(tx, now) >= MOST:
                raise Refused(
                    f"{MOST} bindings stand already; take back what nobody needs", reason="too_many"
                )
            store.insert_binding(tx, binding)
            tx.append(
                BindingCreated(
                    binding=binding.id,
                    subject=binding.subject,
                    role=binding.role,
                    environment=binding.environment,
                    service=binding.service,
                    expires_at=binding.expires_at,
                ),
                principal,
            )
            return binding

        return await self._db.write(lambda tx: do_once(tx, principal, once, Binding, self._clock, effect))

    async def revoke(self, principal: Principal, id: str) -> Binding:  # noqa: A002 - the public word
        """Take a role back; a second time changes nothing. Raises NotFound, Refused (`last_admin`)."""
        self._access.require_somewhere(principal, Action.BINDING_REVOKE)
        missing = NotFound(f"there is no binding {plain(id, limit=64)} that you may see")
        found = await self._db.read(lambda tx: store.binding(tx, id))
        if found is None:
            raise missing
        self._access.require_visible(
            principal, Action.BINDING_READ, found.environment, found.service, missing
        )
        self._access.require(principal, Action.BINDING_REVOKE, found.environment, found.service)

        def work(tx: Tx) -> Binding:
            now = self._clock.micros()
            if store.revoke_binding(tx, found.id, now):
                lockout.check(tx, principal, lockout.of_binding(found), now)
                tx.append(
                    BindingRevoked(
                        binding=found.id,
                        subject=found.subject,
                        role=found.role,
                        environment=found.environment,
                        service=found.service,
                    ),
                    principal,
                )
            return store.binding(tx, found.id) or found

        return await self._db.write(work)
