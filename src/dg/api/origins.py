"""Which web pages may call: a browser sends its page's origin along, and everybody else sends none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from starlette.responses import Response

from dg.core.errors import Forbidden
from dg.core.text import plain

READABLE = "x-request-id, retry-after, location, deprecation, sunset"
SENDABLE = "authorization, content-type, idempotency-key, accept-version, last-event-id, x-request-id"
METHODS = "GET, POST, PUT, DELETE"
PREFLIGHT_SECONDS = 600


class Origins:
    """The pages of these origins may call, and those of the server's own public address; no others."""

    def __init__(self, allowed: Iterable[str], public_url: str | None) -> None:
        self._allowed = frozenset({*allowed, *([_origin(public_url)] if public_url else ())})

    def check(self, headers: Mapping[str, str]) -> str | None:
        """The page that asks, None when none does. Raises Forbidden for one that may not."""
        origin = headers.get("origin")
        if origin is None or origin in self._allowed:
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


def _origin(url: str) -> str:
    """An address as browsers write its origin: without the port that goes without saying."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    usual = {"http": 80, "https": 443}[parts.scheme]
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + ("" if parts.port in (None, usual) else f":{parts.port}")
