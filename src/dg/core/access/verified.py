"""Remembers what tokens were found to say, so that a signature is checked once and not at every request."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from dg.core.clock import Clock

_MOST = 4096
C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class _Found(Generic[C]):
    claims: C
    until: float


class Verified(Generic[C]):
    """Claims by the SHA-256 of the token, never the token itself; only of tokens that passed every check."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._found: OrderedDict[bytes, _Found[C]] = OrderedDict()

    def recall(self, credential: str) -> C | None:
        """What the token says, when that was found out less than `seconds` ago."""
        key = _key(credential)
        found = self._found.get(key)
        if found is None:
            return None
        if found.until <= self._clock.monotonic():
            del self._found[key]
            return None
        self._found.move_to_end(key)
        return found.claims

    def keep(self, credential: str, claims: C) -> C:
        """Remember, and hand back, what the token says."""
        self._found[_key(credential)] = _Found(claims, self._clock.monotonic() + self._seconds)
        if len(self._found) > _MOST:
            self._found.popitem(last=False)
        return claims

    def find(self, credential: str, verify: Callable[[str], C]) -> C:
        """What the token says; `verify` finds it out when that is not known. Raises what it raises."""
        found = self.recall(credential)
        return self.keep(credential, verify(credential)) if found is None else found

    def forget(self, credential: str | None = None) -> None:
        """Forget one token, or all of them: their keys changed."""
        if credential is None:
            self._found.clear()
        else:
            self._found.pop(_key(credential), None)


def _key(credential: str) -> bytes:
    return hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()
