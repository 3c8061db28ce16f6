"""The routes that a gateway in front of dg lets through, as the specification writes them.

`dg contracts gateway` prints them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dg.api import contract
from dg.api.app import UNVERSIONED
from dg.api.call import PREFIX
from dg.api.docs import pages
from dg.api.feed import socket

METHODS = ("GET", "POST", "PUT", "DELETE")
"""In the specification's order."""


@dataclass(frozen=True)
class Route:
    """Everything at and below `path`. `service` is the part of dg that answers."""

    path: str
    service: str
    methods: tuple[str, ...]

    def entry(self) -> dict[str, object]:
        """As it stands in the table."""
        return {"path": self.path, "service": self.service, "methods": list(self.methods)}


def routes() -> list[Route]:
    """Every path that something answers, from the contracts themselves."""
    found: dict[str, tuple[str, set[str]]] = {}
    for path, service, method in _answered():
        found.setdefault(path, (service, set()))[1].add(method)
    return [
        Route(path, service, tuple(each for each in METHODS if each in methods))
        for path, (service, methods) in found.items()
    ]


def _answered() -> Iterator[tuple[str, str, str]]:
    """Path, service and method of each operation, by the first segment of its path."""
    for name in contract.NAMES:
        document = contract.load(name)
        service = document["info"]["x-service"]
        for operation in contract.operations(document):
            head = f"/{operation.path.split('/')[1]}"
            yield f"{PREFIX}{head}", service, operation.method
            if operation.path in UNVERSIONED:
                yield operation.path, service, operation.method
    yield socket.PATH, contract.load("deployment-automation-api")["info"]["x-service"], "GET"
    yield pages.PATH, contract.load("platform-api")["info"]["x-service"], "GET"
