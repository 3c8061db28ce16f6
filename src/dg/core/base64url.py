"""base64url without padding (RFC 4648, section 5) in its one spelling, for signed tokens and receipts."""

from __future__ import annotations

import base64


def encode(raw: bytes) -> str:
    """The one text that `decode` reads as `raw`."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The bytes of a text without padding or left-over bits. Raises ValueError for any other."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise ValueError("not base64url") from error
    if encode(raw) != text:
        raise ValueError("not the one spelling of base64url")
    return raw
