"""Which web pages may call: a browser sends its page's origin along, and everybody else sends none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.responses import Response

from dg.core.errors import Forbidden
from dg.core.text import plain

READABLE = ", ".join(
    (
        *("x-request-id", "api-version", "location", "etag", "link", "deprecation", "sunset", "retry-after"),
        *(f"x-ratelimit-{name}" for name in ("limit", "remaining", "reset", "window")),
        *("ratelimit", "ratelimit-policy"),
    )
)
SENDABLE = (
    "authorization, content-type, idempotency-key, if-match, accept-version, last-event-id, x-request-id"
)
METHODS = "GET, POST, PUT, DELETE"
PREFLIGHT_SECONDS = 600


class Origins:
    """Which pages may call: of the allowed origins, of the server's public address, and the server's own."""

    def __init__(self, allowed: Iterable[str], public_url: str | None) -> None:
        self._allowed = frozenset({*allowed, *([_origin(public_url)] if public_url else ())})

    def check(self, headers: Mapping[str, str], scheme: str = "http") -> str | None:
        """The page that asks over `scheme`, None when none does. Raises Forbidden for one that may not."""
        origin = headers.get("origin")
        if origin is None or origin in self._allowed or origin == _own(headers.get("host", ""), scheme):
            return origin
        raise Forbidden(
            f"pages of {plain(origin, limit=100)} may not call this server; allow them in server.origins",
            reason="cross_origin",
        )


def answer_headers(origin: str) -> list[tuple[bytes, bytes]]:
    """What lets the page read an answer (Fetch Standard, 3.3). No cookies."""
    return [
        (b"access-control-allow-origin", origin.encode()),
        (b"access-control-expose-headers", READABLE.encode()),
        (b"vary", b"origin"),
    ]


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser asks on its own what the page may send."""
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def preflight() -> Response:
    """The answer to a page that may call."""
    allowed = {
        "access-control-allow-methods": METHODS,
        "access-control-allow-headers": SENDABLE,
        "access-control-max-age": str(PREFLIGHT_SECONDS),
    }
    return Response(status_code=204, headers=allowed)


def _own(host: str, scheme: str) -> str | None:
    """The origin of this server's own page, None where only the Host header says which that is.

    A name may be anybody's, who lets it resolve to this server; an address and `localhost` are nobody's.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name != "localhost":
            ip_address(name)
    except ValueError:
        return None
    return f"{scheme}://{host}"


def _origin(url: str) -> str:
    """An address as browsers write its origin: without the port that goes without saying."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    usual = {"http": 80, "https": 443}[parts.scheme]
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + ("" if parts.port in (None, usual) else f":{parts.port}")
