"""A server that only knows sessions: tokens `a1`, `a2`, ... that come for `r0`, `r1`, ..."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

import httpx

from dg.core.access.models import Grant
from dg.core.access.sessions import Session, SessionTokens
from dg.core.testing import NOON

URL = "http://127.0.0.1:8470"
DAY = 86_400_000_000
SESSION = Session(
    id="01936b2e-7c00-7000-8000-00000000000a",
    person="01936b2e-7c00-7000-8000-00000000000b",
    name="ana",
    host="laptop",
    address="203.0.113.9",
    grants=(Grant(role="operator"),),
    approved_by="local",
    created_at=NOON,
    refreshed_at=NOON,
    idle_at=NOON + 3 * DAY,
    expires_at=NOON + 30 * DAY,
)


def tokens(number: int) -> SessionTokens:
    return SessionTokens(
        access_token=f"a{number}", refresh_token=f"r{number}", expires_in=600, session=SESSION
    )


def written(number: int) -> dict[str, object]:
    """The same as the API writes it."""
    times = {"created_at": "2026-09-21T14:13:20Z", "refreshed_at": "2026-09-21T14:13:20Z"}
    ends = {"idle_at": "2026-09-24T14:13:20Z", "expires_at": "2026-10-21T14:13:20Z"}
    session = SESSION.model_dump(mode="json", exclude_none=True) | times | ends
    return {
        "access_token": f"a{number}",
        "refresh_token": f"r{number}",
        "expires_in": 600,
        "session": session,
    }


@dataclass
class Server:
    """Answers `whoami`, the events and refreshes. `lost` answers to refreshes never arrive; `slow` ones take
    so many seconds; the tokens in `refused` open nothing; `over` refuses to refresh."""

    refused: set[str] = field(default_factory=set)
    over: bool = False
    lost: int = 0
    slow: float = 0.0
    used: list[str] = field(default_factory=list)
    refreshed: list[str] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/sessions/refresh":
            return await self._refresh(request)
        token = request.headers["authorization"].removeprefix("Bearer ")
        self.used.append(token)
        if token in self.refused:
            return httpx.Response(401, json=refusal())
        if request.url.path == "/v1/events":
            fact = {"seq": 1, "at": "2026-09-21T14:13:20Z", "type": "x", "actor": "a", "auth": "token"}
            return httpx.Response(
                200,
                headers={"content-type": "text/event-stream"},
                text=f"id: 1\nevent: x\ndata: {json.dumps(fact)}\n\n",
            )
        who = {"id": "p", "name": "ana", "kind": "person", "method": "session", "grants": []}
        return httpx.Response(200, json=who)

    async def _refresh(self, request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers
        shown = json.loads(request.content)["refresh_token"]
        self.refreshed.append(shown)
        await asyncio.sleep(self.slow)
        if self.lost:
            self.lost -= 1
            raise httpx.ReadError("the connection broke")
        if self.over:
            return httpx.Response(401, json=refusal())
        return httpx.Response(200, json=written(int(shown.removeprefix("r")) + 1))


def refusal() -> dict[str, object]:
    details = {"reason": "unauthenticated", "request_id": "x"}
    return {"error": {"code": "UNAUTHORIZED", "message": "not valid here", "details": details}}
