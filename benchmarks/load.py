"""HTTP load from a process of its own (`peers/load.py`), as the figures use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.processes import end_of_input, hear, peer

_FOR_EVER = 3600.0


@dataclass(frozen=True)
class Target:
    """A request and where it goes; any other answer than `status` is an error."""

    host: str
    port: int
    request: bytes
    status: int = 200


@dataclass
class Loaded:
    """What a load client saw; latencies in seconds."""

    answers: int = 0
    seconds: float = 0.0
    latencies: tuple[float, ...] = ()

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds


def load(target: Target, *, connections: int, seconds: float) -> Loaded:
    """Keep `connections` busy for so long."""
    with peer("load", _spec(target, connections, seconds, None)) as client:
        return Loaded(**json.loads(hear(client)))


@contextmanager
def asking(target: Target, *, rate: float, connections: int = 4) -> Iterator[Loaded]:
    """Ask so many times a second while the block runs; what it gives is filled in when the block ends."""
    loaded = Loaded()
    with peer("load", _spec(target, connections, _FOR_EVER, rate)) as client:
        yield loaded
        end_of_input(client)
        vars(loaded).update(json.loads(hear(client)))


def _spec(target: Target, connections: int, seconds: float, rate: float | None) -> dict[str, object]:
    return {
        **vars(target),
        "request": target.request.decode("latin-1"),
        "connections": connections,
        "seconds": seconds,
        "rate": rate,
    }
