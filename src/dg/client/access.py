"""Roles and bindings: who may do what, where and until when; and the log of who did."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from dg.client.http import Http, path
from dg.client.wire import decode, encode
from dg.core.access.models import Binding, CreateBinding, CreateRole, DefinedRole, UpdateRole
from dg.core.audit.models import AuditEntry, AuditPage
from dg.core.deployments.models import Page

_PAGE = 200


class Roles:
    def __init__(self, http: Http) -> None:
        self._http = http

    async def list(self) -> tuple[DefinedRole, ...]:
        """Every role: those that are given first, then by name."""
        return decode(Page[DefinedRole], await self._http.get(path("security", "access", "roles"))).items

    async def get(self, name: str) -> DefinedRole:
        """One role. Raises NotFound."""
        return decode(DefinedRole, await self._http.get(path("security", "access", "roles", name)))

    async def create(self, request: CreateRole, *, key: str | None = None) -> DefinedRole:
        """Make a role. Raises Refused for a name in use, Forbidden for an action that the caller lacks."""
        where = path("security", "access", "roles")
        return decode(DefinedRole, await self._http.write("POST", where, encode(request), key=key))

    async def update(
        self,
        name: str,
        *,
        description: str | None = None,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        key: str | None = None,
    ) -> DefinedRole:
        """Change a role; whoever holds it may do other things at once. Raises NotFound."""
        wish = UpdateRole(description=description, add=tuple(add), remove=tuple(remove))
        where = path("security", "access", "roles", name)
        return decode(DefinedRole, await self._http.write("POST", where, encode(wish), key=key))

    async def delete(self, name: str, *, key: str | None = None) -> DefinedRole:
        """Remove a role that nobody holds. Raises Refused while somebody does."""
        where = path("security", "access", "roles", name, "delete")
        return decode(DefinedRole, await self._http.write("POST", where, key=key))


class Audit:
    def __init__(self, http: Http) -> None:
        self._http = http

    async def all(self, *, matching: str | None = None) -> AsyncIterator[AuditEntry]:
        """Every entry that the caller may read, the newest first; `matching` is a filter."""
        cursor: str | None = None
        while True:
            query = {"filter": matching, "cursor": cursor, "limit": _PAGE}
            page = decode(AuditPage, await self._http.get(path("security", "audit"), query))
            for entry in page.items:
                yield entry
            if (cursor := page.next_cursor) is None:
                return


class Bindings:
    def __init__(self, http: Http) -> None:
        self._http = http

    async def all(self, *, subject: str | None = None, role: str | None = None) -> AsyncIterator[Binding]:
        """The bindings that stand, oldest first, of one subject or role or of all."""
        cursor: str | None = None
        while True:
            query = {"subject": subject, "role": role, "cursor": cursor, "limit": _PAGE}
            page = decode(Page[Binding], await self._http.get(path("security", "access", "bindings"), query))
            for binding in page.items:
                yield binding
            if (cursor := page.next_cursor) is None:
                return

    async def create(self, request: CreateBinding, *, key: str | None = None) -> Binding:
        """Give a role. Raises Forbidden for more than the caller has, or for longer."""
        where = path("security", "access", "bindings")
        return decode(Binding, await self._http.write("POST", where, encode(request), key=key))

    async def revoke(self, binding_id: str, *, key: str | None = None) -> Binding:
        """Take a role back at once. Raises NotFound, Refused for the last administrator."""
        where = path("security", "access", "bindings", binding_id, "revoke")
        return decode(Binding, await self._http.write("POST", where, key=key))
