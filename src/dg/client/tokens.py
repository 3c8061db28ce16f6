"""Tokens: what opens the server, for whom and until when."""

from __future__ import annotations

from typing import Literal

from dg.client.http import Http, path
from dg.client.wire import decode
from dg.core.access.models import IssuedToken, Token
from dg.core.deployments.models import Page
from dg.core.types import Environment


class Tokens:
    def __init__(self, http: Http) -> None:
        self._http = http

    async def create(
        self,
        *,
        name: str,
        role: str,
        kind: Literal["person", "service"] = "service",
        environment: Environment | None = None,
        service: str | None = None,
        ttl: float | None = None,
        person: str | None = None,
        key: str | None = None,
    ) -> IssuedToken:
        """Issue a token, for one environment or service or for all; `ttl` is in seconds.

        One of a `person`, by their name, counts as the same one as their sessions and other tokens.
        """
        asked = {
            "name": name,
            "role": role,
            "kind": kind,
            "environment": environment.value if environment else None,
            "service": service,
            "ttl": ttl,
            "person": person,
        }
        body = {field: value for field, value in asked.items() if value is not None}
        return decode(IssuedToken, await self._http.write("POST", path("tokens"), body, key=key))

    async def list(self) -> tuple[Token, ...]:
        """All tokens, without their secrets."""
        return decode(Page[Token], await self._http.get(path("tokens"))).items

    async def revoke(self, token_id: str, *, key: str | None = None) -> Token:
        """Withdraw a token: it opens nothing from now on. Raises NotFound."""
        return decode(Token, await self._http.write("DELETE", path("tokens", token_id), key=key))
