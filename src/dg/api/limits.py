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
from dg.core.errors import TooMany
from dg.settings.units import format_duration

if TYPE_CHECKING:
    from dg.api.contract import Operation
    from dg.core.clock import Clock
    from dg.settings.tree import Limits as Settings

OPEN, FAILED, STREAM = "open", "failed", "stream"
BY_ADDRESS = (OPEN, "login", FAILED)
"""Classes of those who do not say who they are."""
BY_PRINCIPAL = ("read", "write", "deploy", STREAM)
UNLIMITED = "none"
"""Of `/health`: a monitor is never turned away."""

KNOWN_CREDENTIALS = 20_000


class Standing(NamedTuple):
    """A caller's place in one class, as the specification's RateLimit object has it."""

    limit: int
    remaining: int
    reset: int
    """When nothing is spent any more, in seconds since the epoch."""
    window: str


class Spent(NamedTuple):
    """What one request cost: where its caller stands now, and the headers that say so."""

    standing: Standing
    headers: list[tuple[bytes, bytes]]
    refusal: TooMany | None


class _Class:
    def __init__(self, name: str, limit: int, window: float, meter: Meter) -> None:
        self.name = name
        self.limit = limit
        self.window = format_duration(window)
        self.meter = meter
        self.policy = [
            (b"x-ratelimit-limit", b"%d" % limit),
            (b"x-ratelimit-window", self.window.encode()),
            (b"ratelimit-policy", f'"{name}";q={limit};w={round(window)}'.encode()),
        ]


class Limits:
    """Everybody's requests, counted in memory: a restart forgives."""

    def __init__(
        self, settings: Settings, clock: Clock, refused: Callable[[str], None] = lambda _: None
    ) -> None:
        """`refused` is called with the class of each request that was one too many."""
        self._refused = refused
        self._clock = clock
        self._classes = {
            name: _Class(name, rate.limit, rate.window, Meter(rate))
            for name in (*BY_ADDRESS, *BY_PRINCIPAL)
            if (rate := getattr(settings, name)) is not None
        }
        self._known: OrderedDict[int, None] = OrderedDict()

    def spend(self, name: str, caller: str | None) -> Spent | None:
        """Count one request of class `name`; None when the class is off or the caller is not counted."""
        counted = self._classes.get(name)
        if counted is None or caller is None:
            return None
        reading = counted.meter.spend(caller, self._clock.monotonic())
        return self._spent(counted, reading)

    def check_failures(self, address: str | None, credential: str) -> Spent | None:
        """Whether this credential may be looked at, for an address from which too many proved nothing.

        One that was good before always may: nobody's neighbour locks it out. Costs nothing.
        """
        counted = self._classes.get(FAILED)
        if counted is None or address is None:
            return None
        reading = counted.meter.look(address, self._clock.monotonic())
        if not reading.wait or hash(credential) in self._known:
            return None
        return self._spent(counted, reading)

    def proved(self, credential: str) -> None:
        """Remember, by a number that no credential can be made for, that this one was good."""
        key = hash(credential)
        self._known[key] = None
        self._known.move_to_end(key)
        if len(self._known) > KNOWN_CREDENTIALS:
            self._known.popitem(last=False)

    def standings(self, caller: str) -> list[dict[str, Any]]:
        """Where a principal stands in each class, as JSON values."""
        now = self._clock.monotonic()
        return [
            {"name": name, **self._standing(counted, counted.meter.look(caller, now))._asdict()}
            for name in BY_PRINCIPAL
            if (counted := self._classes.get(name))
        ]

    def _spent(self, counted: _Class, reading: Reading) -> Spent:
        standing = self._standing(counted, reading)
        left = f'"{counted.name}";r={standing.remaining};t={math.ceil(reading.full)}'
        headers = [
            *counted.policy,
            (b"x-ratelimit-remaining", b"%d" % standing.remaining),
            (b"x-ratelimit-reset", b"%d" % standing.reset),
            (b"ratelimit", left.encode()),
        ]
        return Spent(standing, headers, self._refusal(counted, standing, reading) if reading.wait else None)

    def _standing(self, counted: _Class, reading: Reading) -> Standing:
        reset = math.ceil(self._clock.micros() / 1_000_000 + reading.full)
        return Standing(counted.limit, reading.remaining, reset, counted.window)

    def _refusal(self, counted: _Class, standing: Standing, reading: Reading) -> TooMany:
        self._refused(counted.name)
        seconds = max(1, math.ceil(reading.wait))
        what = "tries to prove who one is" if counted.name == FAILED else f"{counted.name} requests"
        return TooMany(
            f"too many {what}: {counted.limit} in {counted.window} may be sent (limits.{counted.name}); "
            f"try again in {seconds} s",
            retry_after=seconds,
            rate_class=counted.name,
            rate_limit=standing._asdict(),
        )


def check_classes(operations: Iterable[Operation]) -> None:
    """Raises ContractError for an operation whose class does not exist or counts others than its callers."""
    for operation in operations:
        fitting = BY_ADDRESS if operation.security == "none" else BY_PRINCIPAL
        if operation.rate not in (*fitting, UNLIMITED):
            raise ContractError(f"{operation.id}: x-rate-class is one of {', '.join(fitting)}, {UNLIMITED}")
