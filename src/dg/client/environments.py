"""Environments: what they are configured with, how that came to be, and secrets that nobody reads back."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from dg.client.http import Http, path
from dg.client.wire import decode, end, rfc3339
from dg.core import boxes
from dg.core.drift.models import DriftList, ServiceDrift
from dg.core.environments.models import (
    Box,
    Ciphertext,
    EnvironmentDiff,
    EnvironmentList,
    EnvironmentState,
    SealingKey,
    SecretUse,
    SecretUses,
    UpdateEnvironment,
    VersionPage,
)
from dg.core.errors import Invalid
from dg.core.past.models import PastEnvironment
from dg.core.text import plain
from dg.core.types import Environment


class Environments:
    """`expected` is the version that a change was made from; a newer one by now makes it Stale."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def list(self) -> tuple[EnvironmentState, ...]:
        """Those within reach, in the order of a release."""
        return decode(EnvironmentList, await self._http.get(path("environments"))).items

    async def get(self, name: Environment, version: int | None = None) -> EnvironmentState:
        """One of them, now or as it was. Raises NotFound."""
        answer = await self._http.get(path("environments", name), {"version": version})
        return decode(EnvironmentState, answer)

    async def update(
        self,
        name: Environment,
        request: UpdateEnvironment,
        *,
        expected: int | None = None,
        key: str | None = None,
    ) -> EnvironmentState:
        """Make it so; secrets that are left out stay. Raises Invalid, Stale."""
        answer = await self._http.write(
            "PUT", path("environments", name), _body(request), key=key, match=tag(expected)
        )
        return decode(EnvironmentState, answer)

    async def preview(
        self, name: Environment, request: UpdateEnvironment, *, expected: int | None = None
    ) -> EnvironmentState:
        """What `update` would lead to, with its `changes`. Raises Invalid, Stale."""
        answer = await self._http.write(
            "PUT",
            path("environments", name),
            _body(request),
            query={"dry_run": "true"},
            match=tag(expected),
        )
        return decode(EnvironmentState, answer)

    async def history(
        self, name: Environment, *, cursor: str | None = None, limit: int | None = None
    ) -> VersionPage:
        """One page of its versions, newest first."""
        query = {"cursor": cursor, "limit": limit}
        return decode(VersionPage, await self._http.get(path("environments", name, "history"), query))

    async def diff(
        self,
        name: Environment,
        *,
        since: int | None = None,
        until: int | None = None,
        other: Environment | None = None,
    ) -> EnvironmentDiff:
        """What two versions, or `other`, do not share: keys, types and fingerprints. Raises NotFound."""
        query = {"from": since, "to": until, "with": other}
        return decode(EnvironmentDiff, await self._http.get(path("environments", name, "diff"), query))

    async def restore(
        self,
        name: Environment,
        version: int,
        *,
        reason: str | None = None,
        expected: int | None = None,
        key: str | None = None,
    ) -> EnvironmentState:
        """Take back what an older version held, as a new one. Raises NotFound, Stale."""
        body = {"version": version} | ({"reason": reason} if reason else {})
        answer = await self._http.write(
            "PUT", path("environments", name, "restore"), body, key=key, match=tag(expected)
        )
        return decode(EnvironmentState, answer)

    async def set_secret(
        self,
        name: Environment,
        key: str,
        value: str | Ciphertext | None,
        *,
        reason: str | None = None,
        expected: int | None = None,
    ) -> EnvironmentState:
        """Set one secret, or unset it with None; a Ciphertext is opened by the runner alone.

        Raises Invalid, Stale, NotFound to unset what is not set.
        """
        body: dict[str, Any] = {"unset": True} if value is None else {"value": value}
        if isinstance(value, Ciphertext):
            body = value.model_dump()
        return await self._set(name, key, body, reason, expected)

    async def seal_secret(
        self,
        name: Environment,
        key: str,
        value: str,
        *,
        sealing_key: str | None = None,
        reason: str | None = None,
        expected: int | None = None,
    ) -> EnvironmentState:
        """Set one secret that only the server opens, no proxy before it.

        `sealing_key` is the fingerprint that the server's key must have: a proxy that changes answers could
        give one of its own. Raises Invalid, also for a key with another; Stale, also when somebody else set
        the secret meanwhile.
        """
        found = await self.sealing_key(name, key)
        public = _public_key(found, sealing_key)
        context = boxes.secret_context(name, key, found.version)
        sealed = Box(
            key=boxes.fingerprint(public), version=found.version, box=boxes.seal(public, value, context)
        )
        return await self._set(name, key, {"sealed": sealed.model_dump()}, reason, expected)

    async def secrets(self, name: Environment) -> tuple[SecretUse, ...]:
        """Every secret of it, with whose steps name it, when it was last used, and its age."""
        return decode(SecretUses, await self._http.get(path("environments", name, "secrets"))).items

    async def sealing_key(self, name: Environment, key: str) -> SealingKey:
        """What a secret is sealed with, as the version that it will be."""
        where = path("environments", name, "secrets", key, "sealing-key")
        return decode(SealingKey, await self._http.get(where))

    async def _set(
        self, name: Environment, key: str, body: dict[str, Any], reason: str | None, expected: int | None
    ) -> EnvironmentState:
        body |= {"reason": reason} if reason else {}
        where = path("environments", name, "secrets", key)
        answer = await self._http.write("PUT", where, body, match=tag(expected))
        return decode(EnvironmentState, answer)

    async def past(self, name: Environment, then: int) -> PastEnvironment:
        """How it was at `then` (microseconds). Raises Invalid for the future and for before the record."""
        where = path("environments", name, "past")
        return decode(PastEnvironment, await self._http.get(where, {"as_of": rfc3339(then)}))

    async def drift(self, name: Environment) -> tuple[ServiceDrift, ...]:
        """How what runs there compares with what dg deployed, by service that is checked."""
        return decode(DriftList, await self._http.get(path("environments", name, "drift"))).items

    async def accept_drift(
        self,
        name: Environment,
        service: str,
        *,
        reason: str,
        until: int | None = None,
        lasting: str | None = None,
        key: str | None = None,
    ) -> ServiceDrift:
        """Let the difference be that there is now, until a moment (microseconds) or for such as `2d`.

        Raises Refused when nothing differs, NotFound.
        """
        body = {"reason": reason, **end(until, lasting)}
        where = path("environments", name, "drift", service)
        return decode(ServiceDrift, await self._http.write("PUT", where, body, key=key))

    async def withdraw_drift(
        self, name: Environment, service: str, *, reason: str, key: str | None = None
    ) -> ServiceDrift:
        """Take that back; where nothing was accepted, nothing changes. Raises NotFound."""
        body = {"reason": reason, "withdraw": True}
        where = path("environments", name, "drift", service)
        return decode(ServiceDrift, await self._http.write("PUT", where, body, key=key))


def _public_key(found: SealingKey, wanted: str | None) -> bytes:
    if found.suite != boxes.SUITE:
        raise Invalid(
            f"the server seals with {plain(found.suite, limit=60)}, which this client does not speak"
        )
    try:
        public = base64.b64decode(found.public_key, validate=True)
    except binascii.Error:
        public = b""
    # What the answer says of its own key proves nothing.
    if len(public) != 32 or wanted not in (None, boxes.fingerprint(public)):
        raise Invalid(
            f"the server's sealing key is not {plain(wanted or 'whole', limit=60)}: nothing was sent; "
            "compare it with what `dg keys check` prints on the server's machine",
            field="sealing_key",
        )
    return public


def _body(request: UpdateEnvironment) -> dict[str, Any]:
    """As it was given: a secret that is None is unset, so None is not left out there."""
    body = request.model_dump(mode="json", exclude={"runs"})
    if request.runs is not None:
        body["runs"] = {name: check.model_dump(exclude_none=True) for name, check in request.runs.items()}
    return {name: value for name, value in body.items() if value is not None}


def tag(version: int | None) -> str | None:
    """The ETag of any answer with that version."""
    return None if version is None else f'"{version}"'
