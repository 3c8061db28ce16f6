"""Rate limits: which class a request counts in, whose it is, and what its answer says about that.

`app.py` and the WebSocket spend here before they do anything for a caller. Classes and rates are settings
(`[limits]`); a contract names another class than the usual one by `x-rate-class`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from dg.api.contract import ContractError
from dg.api.rates import Meter, Reading
from dg.core.clock import SECOND
from dg.core.errors import TooMany
from dg.settings.units import format_duration

if TYPE_CHECKING:
    from dg.api.contract import Operation
    from dg.core.clock import Clock
    from dg.settings.server import Limits as Settings
    from dg.settings.units import Rate

OPEN, FAILED, STREAM = "open", "failed", "stream"
BY_ADDRESS = (OPEN, "login", FAILED)
"""Classes of those who do not say who they are."""
BY_PRINCIPAL = ("read", "write", "deploy", STREAM)
UNLIMITED = "none"
"""Of `/health`: a monitor is never turned away."""

BAD_CREDENTIALS = 20_000
"""Credentials that failed which are remembered, by a number from which none can be made."""


class Standing(NamedTuple):
    """A caller's place in one class, as the specification's RateLimit object has it."""

    limit: int
    remaining: int
    reset: int
    """When nothing is spent any more, in seconds since the epoch."""
    window: str


class Spent(NamedTuple):
    """What one request cost: the headers that say where its caller stands, and the no to one too many."""

    headers: list[tuple[bytes, bytes]]
    refusal: TooMany | None


class _Class:
    """One class of requests, and all who send them."""

    def __init__(self, name: str, rate: Rate) -> None:
        self.name = name
        self.limit = rate.limit
        self.window = format_duration(rate.window)
        self.meter = Meter(rate)
        self._policy = (
            (b"x-ratelimit-limit", b"%d" % rate.limit),
            (b"x-ratelimit-window", self.window.encode()),
            (b"ratelimit-policy", f'"{name}";q={rate.limit};w={round(rate.window)}'.encode()),
        )
        self._left = f'"{name}";r=%d;t=%d'.encode()

    def standing(self, reading: Reading, now: int) -> Standing:
        """A reading at `now`, microseconds since the epoch, for callers."""
        return Standing(self.limit, reading.remaining, _reset(reading, now), self.window)

    def headers(self, reading: Reading, now: int) -> list[tuple[bytes, bytes]]:
        """The same as the answer's headers say it."""
        return [
            *self._policy,
            (b"x-ratelimit-remaining", b"%d" % reading.remaining),
            (b"x-ratelimit-reset", b"%d" % _reset(reading, now)),
            (b"ratelimit", self._left % (reading.remaining, math.ceil(reading.full))),
        ]

    def refusal(self, reading: Reading, now: int) -> TooMany:
        """What the one too many is told."""
        seconds = max(1, math.ceil(reading.wait))
        what = "tries to prove who one is" if self.name == FAILED else f"{self.name} requests"
        return TooMany(
            f"too many {what}: {self.limit} in {self.window} may be sent (limits.{self.name}); "
            f"try again in {seconds} s",
            retry_after=seconds,
            rate_class=self.name,
            rate_limit=self.standing(reading, now)._asdict(),
        )


def _reset(reading: Reading, now: int) -> int:
    return math.ceil(now / SECOND + reading.full)


class Limits:
    """Everybody's requests, counted in memory: a restart forgives."""

    def __init__(
        self, settings: Settings, clock: Clock, refused: Callable[[str], None] = lambda _: None
    ) -> None:
        """`refused` is called with the class of each request that was one too many."""
        self._refused = refused
        self._clock = clock
        self._classes = {
            name: _Class(name, rate)
            for name in (*BY_ADDRESS, *BY_PRINCIPAL)
            if (rate := getattr(settings, name)) is not None
        }
        self._bad: OrderedDict[int, None] = OrderedDict()

    def spend(self, name: str, caller: str | None) -> Spent | None:
        """Count one request of class `name`; None when the class is off or the caller is not counted."""
        counted = self._classes.get(name)
        if counted is None or caller is None:
            return None
        reading = counted.meter.spend(caller, self._clock.monotonic())
        return self._spent(counted, reading)

    def check_failures(self, address: str | None, credential: str) -> Spent | None:
        """A no to a credential that failed before, from an address that sent too many such; costs nothing.

        All others are looked at: a good one is never refused for what its neighbours behind one address send.
        """
        if not self._bad or address is None or FAILED not in self._classes:
            return None
        if hash(credential) not in self._bad:
            return None
        counted = self._classes[FAILED]
        reading = counted.meter.look(address, self._clock.monotonic())
        return self._spent(counted, reading) if reading.wait else None

    def failed(self, address: str | None, credential: str) -> Spent | None:
        """Count a credential that proved nothing."""
        key = hash(credential)
        self._bad[key] = None
        self._bad.move_to_end(key)
        if len(self._bad) > BAD_CREDENTIALS:
            self._bad.popitem(last=False)
        return self.spend(FAILED, address)

    def standings(self, caller: str) -> list[dict[str, Any]]:
        """Where a principal stands in each class, as JSON values."""
        moment, now = self._clock.monotonic(), self._clock.micros()
        return [
            {"name": name, **counted.standing(counted.meter.look(caller, moment), now)._asdict()}
            for name in BY_PRINCIPAL
            if (counted := self._classes.get(name))
        ]

    def _spent(self, counted: _Class, reading: Reading) -> Spent:
        now = self._clock.micros()
        if not reading.wait:
            return Spent(counted.headers(reading, now), None)
        self._refused(counted.name)
        return Spent(counted.headers(reading, now), counted.refusal(reading, now))


def check_classes(operations: Iterable[Operation]) -> None:
    """Raises ContractError for an operation whose class does not exist or counts others than its callers."""
    for operation in operations:
        fitting = BY_ADDRESS if operation.security == "none" else BY_PRINCIPAL
        if operation.rate not in (*fitting, UNLIMITED):
            raise ContractError(f"{operation.id}: x-rate-class is one of {', '.join(fitting)}, {UNLIMITED}")
