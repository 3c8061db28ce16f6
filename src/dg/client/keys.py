"""API keys: what service accounts prove themselves with, made, listed, rotated and revoked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dg.client.http import Http, path
from dg.client.wire import decode, encode
from dg.core.access.models import ApiKey, IssuedKey, Scope
from dg.core.deployments.models import Page

_ROOT = ("security", "access", "keys")


class Keys:
    def __init__(self, http: Http) -> None:
        self._http = http

    async def create(
        self,
        *,
        name: str,
        scopes: Iterable[Scope],
        addresses: Iterable[str] = (),
        ttl: float | None = None,
        key: str | None = None,
    ) -> IssuedKey:
        """Make a key whose secret is in this answer alone; `ttl` is in seconds, `addresses` are networks."""
        asked = {
            "name": name,
            "scopes": [encode(scope) for scope in scopes],
            "addresses": list(addresses) or None,
            "ttl": ttl,
        }
        return decode(IssuedKey, await self._http.write("POST", path(*_ROOT), _given(asked), key=key))

    async def list(self) -> tuple[ApiKey, ...]:
        """The keys that the caller may see, without their secrets."""
        return decode(Page[ApiKey], await self._http.get(path(*_ROOT))).items

    async def rotate(
        self, key_id: str, *, overlap: float | None = None, ttl: float | None = None, key: str | None = None
    ) -> IssuedKey:
        """Give a key a new secret; the old one goes on for `overlap` seconds. Raises NotFound, Refused."""
        body = _given({"overlap": overlap, "ttl": ttl})
        return decode(
            IssuedKey, await self._http.write("POST", path(*_ROOT, key_id, "rotate"), body, key=key)
        )

    async def revoke(self, key_id: str, *, key: str | None = None) -> ApiKey:
        """Withdraw a key with all its secrets: they open nothing from now on. Raises NotFound."""
        return decode(ApiKey, await self._http.write("POST", path(*_ROOT, key_id, "revoke"), {}, key=key))


def _given(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}
