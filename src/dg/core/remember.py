"""A bounded memory of what was worked out before, the least used forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Remembered(Generic[V]):
    """At most `size` values by their keys. Threads that ask at once may each make the value."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._found: OrderedDict[Hashable, V] = OrderedDict()

    def known(self, key: Hashable) -> V | None:
        """The value of `key`, where it is remembered."""
        value = self._found.get(key)
        if value is not None:
            self._found.move_to_end(key)
        return value

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value of `key`; `make` makes it the first time."""
        try:
            value = self._found[key]
            self._found.move_to_end(key)
        except KeyError:
            value = self._found[key] = make()
            if len(self._found) > self._size:
                self._found.popitem(last=False)
        return value
