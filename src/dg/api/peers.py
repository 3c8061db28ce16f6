"""Who is at the other end: the address behind proxies that are trusted, and how much one address may hold.

`app.py` asks for each request, `door.py` for each connection.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache

from dg.core.addresses import neighbours
from dg.core.errors import TooMany

FORWARDED = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"})
"""A proxy on this machine speaks from loopback for somebody who is not."""

REMEMBERED = 4096
"""Addresses that need not be read again."""

_LONGEST_ADDRESS = 128
"""Characters, whatever stands around it."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a request. `address` is empty when it is not known."""

    address: str
    passed_on: bool
    """By a proxy, trusted or not, as far as the request shows."""


class Peers:
    """Knows the proxies that are trusted (`server.trusted_proxies`)."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted = tuple(ipaddress.ip_network(network) for network in trusted)
        self.counted = lru_cache(maxsize=REMEMBERED)(self._counted)
        """What an address is counted under; None for this machine and proxies, which speak for many."""

    def find(self, client: tuple[str, int] | None, headers: Mapping[str, str]) -> Peer:
        """Who sent a request that came over a connection from `client`.

        Each proxy adds the address that it saw at the end of X-Forwarded-For, so from the right the first
        address that is no trusted proxy is the last one that somebody trusted has seen; what stands left
        of it is the client's own invention. A trusted proxy without the header speaks for somebody unknown.
        """
        if client is None:
            return Peer("", passed_on=True)
        if not self._trusted or not self.trusts(client[0]):
            return Peer(client[0], passed_on=not FORWARDED.isdisjoint(headers))
        address = client[0]
        for hop in reversed(headers.get("x-forwarded-for", "").split(",")):
            found = parse(hop)
            if found is None:
                break
            address = str(found)
            if not self.trusts(address):
                break
        return Peer(address, passed_on=True)

    def trusts(self, address: str) -> bool:
        """Whether a proxy that is trusted has this address."""
        found = parse(address)
        return found is not None and any(found in network for network in self._trusted)

    def _counted(self, address: str) -> str | None:
        found = parse(address)
        if found is None or found.is_loopback or self.trusts(address):
            return None
        return neighbours(found)


def parse(text: str) -> Address | None:
    """The address in `text`, with or without a port or brackets, an IPv4 one in IPv6's clothes as itself."""
    return _parse(text) if len(text) <= _LONGEST_ADDRESS else None


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def is_loopback(address: str) -> bool:
    """Whether `address` is this machine itself."""
    found = parse(address)
    return found is not None and found.is_loopback


_UNCOUNTED = nullcontext(True)


class Cap:
    """At most `most` things at a time for one address, or whatever key stands for it."""

    def __init__(self, most: int, setting: str) -> None:
        self._most = most
        self._setting = setting
        self._held: Counter[str] = Counter()

    def take(self, key: str | None) -> bool:
        """Hold one more for `key`; False when that is one too many. None is not counted."""
        if key is None:
            return True
        if self._held[key] >= self._most:
            return False
        self._held[key] += 1
        return True

    def give_back(self, key: str | None) -> None:
        """Hold one less."""
        if key is None:
            return
        self._held[key] -= 1
        if self._held[key] <= 0:
            del self._held[key]

    def refusal(self, key: str | None) -> TooMany:
        """What the one too many is told."""
        return TooMany(
            f"{key} has {self._most} open already, as many as one address may ({self._setting}): close some",
            reason="too_many_connections",
            retry_after=1,
        )

    def held(self, key: str | None) -> AbstractContextManager[bool]:
        """Hold one for `key` while the block runs; gives False when that is one too many."""
        return _UNCOUNTED if key is None else self._held_by(key)

    @contextmanager
    def _held_by(self, key: str) -> Iterator[bool]:
        taken = self.take(key)
        try:
            yield taken
        finally:
            if taken:
                self.give_back(key)
