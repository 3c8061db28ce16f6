"""Logins and sessions: how a person signs a program in, and which are signed in."""

from __future__ import annotations

from collections.abc import Sequence

from dg.client.http import Http, path
from dg.client.wire import decode, encode
from dg.core.access.sessions import ApproveLogin, Device, Login, Session, SessionTokens, WantedGrant
from dg.core.deployments.models import Page
from dg.core.errors import Refused, TooMany


class Sessions:
    def __init__(self, http: Http) -> None:
        self._http = http

    async def ask(self, *, name: str = "", host: str = "") -> Device:
        """Ask to be let in, as a program of somebody called `name` on `host`. Needs no token."""
        body = {"name": name, "host": host}
        return decode(Device, await self._http.enter(path("sessions", "device"), body))

    async def collect(self, device_code: str) -> SessionTokens:
        """The tokens of a login that was approved. Needs no other token.

        Raises Refused (`authorization_pending`), TooMany (`slow_down`), Forbidden (`access_denied`) and
        Unauthenticated (`expired_token`).
        """
        body = {"device_code": device_code}
        return decode(SessionTokens, await self._http.enter(path("sessions", "token"), body))

    async def wait(self, device: Device) -> SessionTokens:
        """The tokens of a login as soon as somebody approves it; asks as often as the server allows.

        Raises Forbidden (`access_denied`) and Unauthenticated (`expired_token`).
        """
        interval = float(device.interval)
        while True:
            try:
                return await self.collect(device.device_code)
            except (Refused, TooMany) as answer:
                if answer.reason not in ("authorization_pending", "slow_down"):
                    raise
                asked = answer.details.get("retry_after")
                interval = float(asked) if isinstance(asked, (int, float)) else interval
            await self._http.clock.sleep(interval)

    async def login(self, user_code: str) -> Login:
        """Who asks by this code. Raises NotFound."""
        return decode(Login, await self._http.get(path("sessions", "device", user_code)))

    async def approve(
        self,
        user_code: str,
        *,
        person: str | None = None,
        grants: Sequence[WantedGrant] = (),
        key: str | None = None,
    ) -> Login:
        """Let a login in as oneself, or as the `person` of that name with these grants."""
        body = encode(ApproveLogin(person=person, grants=tuple(grants)))
        where = path("sessions", "device", user_code, "approve")
        return decode(Login, await self._http.write("POST", where, body, key=key))

    async def deny(self, user_code: str, *, key: str | None = None) -> Login:
        """Turn a login away."""
        where = path("sessions", "device", user_code, "deny")
        return decode(Login, await self._http.write("POST", where, key=key))

    async def list(self) -> tuple[Session, ...]:
        """One's own sessions, and those of others that one may see; newest first."""
        return decode(Page[Session], await self._http.get(path("sessions"))).items

    async def revoke(self, session_id: str) -> Session:
        """End a session: it opens nothing from now on. Raises NotFound."""
        return decode(Session, await self._http.write("POST", path("sessions", session_id, "revoke")))
