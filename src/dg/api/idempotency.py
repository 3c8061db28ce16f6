"""The API's half of Idempotency-Key: reads the header and turns away a repeat while the first still runs.

The other half, one effect and the stored first answer, is the services' (`dg.core.idempotency`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from dg.api import json
from dg.core.errors import Refused
from dg.core.idempotency import Once


def once(header: str | None, method: str, path: str, body: object) -> Once | None:
    """The caller's wish, bound to what it asks. `header` may stand in quotes or not."""
    if header is None:
        return None
    key = header[1:-1] if header.startswith('"') else header
    asked = b"\n".join((method.encode(), path.encode(), json.canonical(body)))
    return Once(key, hashlib.sha256(asked).hexdigest())


class InFlight:
    """The keys of requests that are being answered now."""

    def __init__(self) -> None:
        self._keys: set[tuple[str, str]] = set()

    @contextmanager
    def claim(self, principal: str, wish: Once) -> Iterator[None]:
        """Hold the key while the block runs. Raises Refused when another request holds it."""
        key = (principal, wish.key)
        if key in self._keys:
            raise Refused(
                "the first request with this Idempotency-Key still runs; repeat this one in a moment",
                reason="in_flight",
                retry_after=1,
            )
        self._keys.add(key)
        try:
            yield
        finally:
            self._keys.discard(key)
