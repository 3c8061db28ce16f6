"""Environments: what they are configured with, how that came to be, and secrets that nobody reads back."""

from __future__ import annotations

from typing import Any

from dg.client.http import Http, path
from dg.client.wire import decode, end
from dg.core.drift.models import DriftList, ServiceDrift
from dg.core.environments.models import (
    EnvironmentDiff,
    EnvironmentList,
    EnvironmentState,
    UpdateEnvironment,
    VersionPage,
)
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
        self, name: Environment, request: UpdateEnvironment, *, expected: int | None = None
    ) -> EnvironmentState:
        """Make it so; secrets that are left out stay. Raises Invalid, Stale."""
        answer = await self._http.write(
            "PUT", path("environments", name), _body(request), match=_tag(expected)
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
            match=_tag(expected),
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
    ) -> EnvironmentState:
        """Take back what an older version held, as a new one. Raises NotFound, Stale."""
        body = {"version": version} | ({"reason": reason} if reason else {})
        answer = await self._http.write(
            "PUT", path("environments", name, "restore"), body, match=_tag(expected)
        )
        return decode(EnvironmentState, answer)

    async def set_secret(
        self,
        name: Environment,
        key: str,
        value: str | None,
        *,
        reason: str | None = None,
        expected: int | None = None,
    ) -> EnvironmentState:
        """Set one secret, or unset it with None. Raises Invalid, Stale, NotFound to unset what is not set."""
        body: dict[str, Any] = {"unset": True} if value is None else {"value": value}
        body |= {"reason": reason} if reason else {}
        answer = await self._http.write(
            "PUT", path("environments", name, "secrets", key), body, match=_tag(expected)
        )
        return decode(EnvironmentState, answer)

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


def _body(request: UpdateEnvironment) -> dict[str, Any]:
    """As it was given: a secret that is None is unset, so None is not left out there."""
    body = request.model_dump(mode="json", exclude={"runs"})
    if request.runs is not None:
        body["runs"] = {name: check.model_dump(exclude_none=True) for name, check in request.runs.items()}
    return {name: value for name, value in body.items() if value is not None}


def _tag(version: int | None) -> str | None:
    return None if version is None else f'"{version}"'
