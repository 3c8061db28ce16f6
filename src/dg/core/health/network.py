"""Whether the silence of a host is its own or this side's: other hosts are the witnesses."""

from __future__ import annotations

_FEWEST = 2
"""Other hosts without which there is nothing to compare with."""


class Network:
    """Which hosts answered when they were asked last."""

    def __init__(self) -> None:
        self._heard: dict[str, bool] = {}

    def hold(self, hosts: frozenset[str]) -> None:
        """Only these count from now on."""
        self._heard = {host: heard for host, heard in self._heard.items() if host in hosts}

    def note(self, host: str, *, heard: bool) -> None:
        """It answered, were it with a refusal; or nothing came back at all."""
        self._heard[host] = heard

    def comparable(self, host: str) -> bool:
        """Whether there are enough others to tell the one silence from the other."""
        return len(self._heard.keys() - {host}) >= _FEWEST

    def witnesses(self, host: str) -> list[str]:
        """The other hosts that answered when they were asked last."""
        return [other for other, heard in self._heard.items() if heard and other != host]
