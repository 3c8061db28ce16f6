"""Lanes: what runs where, what holds a lane or closes it, and rolling it back."""

from __future__ import annotations

from dg.client.http import Http, path
from dg.client.wire import decode, encode, end
from dg.core.deployments.models import Block, Deployment, Freeze, Lane, Page, RequestRollback, Waiting
from dg.core.deployments.previews import RollbackPreview
from dg.core.types import Environment


class Lanes:
    """A closed lane opens at the moment `until` (microseconds), or after `lasting` such as `1h30m`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def list(
        self, *, service: str | None = None, environment: Environment | None = None
    ) -> tuple[Lane, ...]:
        """The lanes the caller may see, narrowed to a service or an environment."""
        query = {"service": service, "environment": environment.value if environment else None}
        return decode(Page[Lane], await self._http.get(path("lanes"), query)).items

    async def get(self, service: str, environment: Environment) -> Lane:
        """One lane. Raises NotFound."""
        return decode(Lane, await self._http.get(path("lanes", service, environment)))

    async def lock(
        self,
        service: str,
        environment: Environment,
        *,
        reason: str,
        until: int | None = None,
        lasting: str | None = None,
        key: str | None = None,
    ) -> Lane:
        """Close one lane. Raises Refused when it is locked by hand already."""
        body = {"reason": reason, **end(until, lasting)}
        return decode(
            Lane, await self._http.write("POST", path("lanes", service, environment, "lock"), body, key=key)
        )

    async def unlock(
        self, service: str, environment: Environment, *, reason: str | None = None, key: str | None = None
    ) -> Lane:
        """Open a lane; one that is open stays so."""
        body = {"reason": reason} if reason else {}
        return decode(
            Lane, await self._http.write("POST", path("lanes", service, environment, "unlock"), body, key=key)
        )

    async def rollback(
        self, service: str, environment: Environment, request: RequestRollback, *, key: str | None = None
    ) -> Deployment:
        """Roll the lane back; the answer is the rollback, a deployment of its own."""
        answer = await self._http.write(
            "POST", path("lanes", service, environment, "rollback"), encode(request), key=key
        )
        return decode(Deployment, answer)

    async def preview_rollback(
        self, service: str, environment: Environment, request: RequestRollback
    ) -> RollbackPreview:
        """What `rollback` would make of this request; nothing is started. Raises NotFound."""
        where = path("lanes", service, environment, "rollback", "preview")
        return decode(RollbackPreview, await self._http.write("POST", where, encode(request)))

    async def queue(self, service: str, environment: Environment) -> tuple[Waiting, ...]:
        """What waits for the lane, the next one first. Raises NotFound."""
        return decode(Page[Waiting], await self._http.get(path("lanes", service, environment, "queue"))).items

    async def blocks(self, service: str, environment: Environment) -> tuple[Block, ...]:
        """What may not come to the lane, the newest block first. Raises NotFound."""
        return decode(Page[Block], await self._http.get(path("lanes", service, environment, "blocks"))).items

    async def block(
        self, service: str, environment: Environment, version: str, *, reason: str, key: str | None = None
    ) -> Block:
        """Keep a version (deployed, or a branch, tag or commit) out of the lane. Raises Refused, Invalid."""
        body = {"version": version, "reason": reason}
        where = path("lanes", service, environment, "blocks")
        return decode(Block, await self._http.write("POST", where, body, key=key))

    async def unblock(
        self, service: str, environment: Environment, commit: str, *, reason: str, key: str | None = None
    ) -> Block:
        """Let a blocked commit back (7 to 40 of its digits); the answer is the block that ended."""
        where = path("lanes", service, environment, "blocks", commit, "lift")
        return decode(Block, await self._http.write("POST", where, {"reason": reason}, key=key))

    async def freezes(self) -> tuple[Freeze, ...]:
        """The freezes that hold now."""
        return decode(Page[Freeze], await self._http.get(path("freezes"))).items

    async def freeze(
        self,
        *,
        reason: str,
        until: int | None = None,
        lasting: str | None = None,
        service: str | None = None,
        environment: Environment | None = None,
        key: str | None = None,
    ) -> Freeze:
        """Close all lanes of a service, of an environment, of both, or (neither given) every lane."""
        where = {"service": service, "environment": environment.value if environment else None}
        body = {
            "reason": reason,
            **end(until, lasting),
            **{name: value for name, value in where.items() if value},
        }
        return decode(Freeze, await self._http.write("POST", path("freezes"), body, key=key))

    async def thaw(self, freeze_id: str | None = None, *, key: str | None = None) -> tuple[Freeze, ...]:
        """Lift one freeze, or all that the caller may lift; the answer is those lifted."""
        where = path("freezes", freeze_id, "thaw") if freeze_id else path("freezes", "thaw")
        answer = await self._http.write("POST", where, key=key)
        return decode(Page[Freeze], answer).items
