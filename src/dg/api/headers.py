"""What every answer says in its headers, whichever part of the server gives it."""

from __future__ import annotations

from collections.abc import Iterable

from dg.api.versions import CURRENT

Fields = list[tuple[bytes, bytes]]

NO_FRAMES = b"default-src 'none'; frame-ancestors 'none'"
"""An answer of data is no page: nothing in it may load or run, and nobody may frame it."""
YEAR = 365 * 86400

UNLESS_SAID: Fields = [
    (b"api-version", CURRENT.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", NO_FRAMES),
]
"""What an answer that says nothing else gets."""
OVER_TLS = (b"strict-transport-security", f"max-age={YEAR}".encode())
"""Not for plain HTTP, where anybody on the way could say it (RFC 6797, 7.2)."""


def finished(own: Iterable[tuple[bytes, bytes]], *, secure: bool = False) -> Fields:
    """The headers of an answer, `own` first, with all that it does not say itself."""
    found = [*own]
    said = dict(found)
    found += [field for field in UNLESS_SAID if field[0] not in said]
    if secure:
        found.append(OVER_TLS)
    return found
