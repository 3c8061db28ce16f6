"""Turns the credential of a request into a principal."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from dg.api.peers import Peer, is_loopback
from dg.core.access.models import Grant, Origin, Principal, Role
from dg.core.errors import Unauthenticated

if TYPE_CHECKING:
    from dg.core.app import Core

MAX_CREDENTIAL = 8192
RECHECK = 3.0
"""Seconds after which an open stream, or a request that is not whole, looks at its credential again: a
revoked one opens nothing after 5."""
_turns = itertools.cycle(range(100))
NOBODY = Principal(id="anonymous", name="anonymous", kind="system", method="system")
MONITOR = Principal(
    id="loopback", name="this machine", kind="system", method="local", grants=(Grant(role=Role.VIEWER),)
)
"""Who reads metrics and diagnostics on the server's own machine without a token."""


async def identify(
    core: Core,
    security: Literal["required", "optional", "none"],
    headers: Mapping[str, str],
    peer: Peer | None = None,
    request_id: str = "",
) -> Principal:
    """Who is asking. Raises Unauthenticated when the operation needs to know and cannot."""
    origin = Origin(address=peer.address if peer else "", request_id=request_id)
    if security == "none":
        return NOBODY.model_copy(update={"origin": origin})
    if security == "optional" and "authorization" not in headers and is_local(headers, peer):
        return MONITOR
    return await core.access.authenticate(bearer(headers.get("authorization", "")), origin)


async def by_now(core: Core, principal: Principal, headers: Mapping[str, str]) -> Principal:
    """`principal` as they are by now: while they waited, their credential may have ended, or open less.

    Raises Unauthenticated.
    """
    return await core.access.authenticate(bearer(headers.get("authorization", "")), principal.origin)


def recheck() -> float:
    """`RECHECK` less up to a fifth, another for each connection: those that came together drift apart."""
    return RECHECK * (1 - next(_turns) / 500)


def bearer(header: str) -> str:
    """The credential in an Authorization header. Raises Unauthenticated."""
    scheme, _, credential = header.partition(" ")
    credential = credential.strip()
    if scheme.lower() != "bearer" or not credential:
        raise Unauthenticated("this needs a token: send it as `Authorization: Bearer <token>`")
    return vetted(credential)


def vetted(credential: str) -> str:
    """`credential` when it can be a token at all; the expensive checks are not spent on anything else."""
    if len(credential) > MAX_CREDENTIAL or not credential.isascii():
        raise Unauthenticated("this token is not valid; get a new one with `dg token create`")
    return credential


def expiry(credential: str) -> float | None:
    """When a JWT says that it ends, in seconds since the epoch: a hint for when to ask the core again."""
    payload = credential.split(".")[1] if credential.count(".") == 2 else ""
    try:
        end = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
        return float(end)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def is_local(headers: Mapping[str, str], peer: Peer | None) -> bool:
    """True when the other end is this machine itself, and neither a proxy on it nor somebody's web page.

    A page reaches loopback by a name of its own that it lets resolve to it; the Host header tells.
    """
    if peer is None or peer.passed_on or "origin" in headers:
        return False
    if headers.get("sec-fetch-site", "none") != "none":
        return False
    host = _host(headers.get("host", ""))
    return is_loopback(peer.address) and (host == "localhost" or is_loopback(host))


def _host(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
