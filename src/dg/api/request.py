"""A request's headers, path and query as text; `app.py` reads each request with these."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote

from starlette.types import Scope

from dg.core.errors import Invalid


def fields(scope: Scope) -> dict[str, str]:
    """The headers by name; one that comes several times as one list (RFC 9110, 5.3), which no header that
    stands alone can be mistaken for. White space behind a value is no part of it (5.5)."""
    found: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name, text = raw.decode("latin-1"), value.decode("latin-1").rstrip(" \t")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def raw_path(scope: Scope) -> bytes:
    """The path, percent-encoded as it was sent."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    return raw.partition(b"?")[0]


def query(scope: Scope) -> dict[str, str]:
    """The query's parameters. Raises Invalid for one that comes twice or is not text."""
    if not scope["query_string"]:
        return {}
    try:
        pairs = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise Invalid("the query is not percent-encoded UTF-8") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("a query parameter comes twice; send each once")
    if any("\0" in text for pair in pairs for text in pair):
        raise Invalid("the query holds a NUL")
    return found
