"""How often somebody may try something in a while: for what anybody can ask, and what could be guessed."""

from __future__ import annotations

import math
from collections import OrderedDict

from dg.core import addresses
from dg.core.clock import Clock

_MOST_KEYS = 10_000


class Attempts:
    """At most `most` at once and in `seconds`, for each key: an address, a principal.

    The generic cell rate algorithm: of a key only the moment is kept at which all is forgotten.
    """

    def __init__(self, clock: Clock, most: int, seconds: float) -> None:
        self._clock = clock
        self._each = seconds / most
        self._room = seconds - self._each
        self._until: OrderedDict[str, float] = OrderedDict()

    def wait(self, key: str) -> int:
        """Whole seconds until `key` may try again; 0 when it may now."""
        over = self._until.get(key, 0.0) - self._clock.monotonic() - self._room
        return math.ceil(over) if over > 0 else 0

    def count(self, key: str) -> None:
        """`key` has tried once more. Of too many keys the one that tried least lately is forgotten."""
        now = self._clock.monotonic()
        self._until[key] = max(self._until.get(key, now), now) + self._each
        self._until.move_to_end(key)
        if len(self._until) > _MOST_KEYS:
            self._until.popitem(last=False)


def neighbours(address: str) -> str:
    """What an address is counted as; a text that is none, as itself."""
    try:
        return addresses.neighbours(addresses.read(address))
    except ValueError:
        return address
