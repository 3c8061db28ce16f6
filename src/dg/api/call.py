"""What a handler gets, and the answers it gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.types import ASGIApp

from dg.api import json, wire
from dg.core.clock import SECOND

if TYPE_CHECKING:
    from dg.api.limits import Limits
    from dg.api.metrics import Metrics
    from dg.api.versions import Versions
    from dg.core.access.models import Principal
    from dg.core.app import Core
    from dg.core.idempotency import Once
    from dg.settings import Settings

PREFIX = "/v1"


class Lingering:
    """Requests that wait on purpose (streams, long polls), so that a stopping server can let go of them."""

    def __init__(self) -> None:
        self._waits: set[asyncio.Timeout] = set()
        self.stopping = False

    @asynccontextmanager
    async def wait(self, seconds: float | None = None) -> AsyncIterator[None]:
        """Run the block for at most `seconds`, or until the server stops: then TimeoutError."""
        async with asyncio.timeout(0 if self.stopping else seconds) as scope:
            self._waits.add(scope)
            try:
                yield
            finally:
                self._waits.discard(scope)

    def stop(self) -> None:
        """End all waits now, and those that still come."""
        self.stopping = True
        now = asyncio.get_running_loop().time()
        for scope in self._waits:
            scope.reschedule(now)


@dataclass(slots=True)
class Call:
    """One checked request: `arguments` and `body` fit the contract, `principal` is who is asking.

    Not frozen, which would cost more than the rest of making one.
    """

    core: Core
    settings: Settings
    metrics: Metrics
    lingering: Lingering
    versions: Versions
    limits: Limits
    principal: Principal
    arguments: Mapping[str, Any]
    headers: Mapping[str, str]
    method: str
    body: Mapping[str, Any] = field(default_factory=dict)
    once: Once | None = None
    raw: bytes = b""

    def wants(self, media_type: str) -> bool:
        """True when the caller names `media_type` in Accept before any other that the operation gives."""
        return wanted(self.headers) == media_type


def wanted(headers: Mapping[str, str]) -> str:
    """The media type that stands first in Accept; empty for none."""
    return headers.get("accept", "").split(",")[0].split(";")[0].strip().lower()


Handler = Callable[[Call], Awaitable[ASGIApp]]


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A core model as the JSON answer."""
    return Response(json.write(wire.plain(value)), status, headers, json.MEDIA_TYPE)


def items(values: object) -> Response:
    """A list as the contracts write it."""
    return answer({"items": values})


def created(value: object, path: str) -> Response:
    """A new thing and where it is read; `path` without the prefix."""
    return answer(value, 201, {"location": f"{PREFIX}{path}"})


def ending(call: Call) -> Mapping[str, Any]:
    """The body with `for` turned into the moment it means."""
    body = dict(call.body)
    if lasting := body.pop("for", None):
        end = call.core.clock.micros() + round(wire.timespan("for", lasting) * SECOND)
        body["until"] = wire.timestamp(end)
    return body
