"""A post office for tests: an outbox whose senders do as they are told, over a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from dg.core.database import Tx
from dg.core.outbox import Failed, Message, Outbox, Outcome, Policy, Sent, store
from dg.core.outbox.models import Delivery
from dg.core.testing import Ground, ManualClock, eventually, open_ground

FIRST = 10.0


@dataclass
class Scripted:
    """A sender that keeps what it got; `outcomes` come in turn, then all is well. `gate` holds it back."""

    policy: Policy = field(default_factory=lambda: Policy(attempts=5, first=FIRST, longest=100.0))
    outcomes: list[Outcome | Exception] = field(default_factory=list)
    bad: Callable[[Message], Outcome | None] = lambda _: None
    sent: list[Message] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    async def send(self, message: Message) -> Outcome:
        self.sent.append(message)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        found = self.bad(message) or (self.outcomes.pop(0) if self.outcomes else Sent(200))
        if isinstance(found, Exception):
            raise found
        return found

    def failed(self, tx: Tx, message: Message, failure: Failed, failures: int, now: int) -> None:
        self.failures.append(failures)

    @property
    def keys(self) -> list[str]:
        return [message.key for message in self.sent]


class Middle(Random):
    """Randomness whose every draw is the largest: pauses are exactly what they are at most."""

    def uniform(self, a: float, b: float) -> float:
        return b


@dataclass
class Post:
    """An outbox that runs."""

    ground: Ground
    clock: ManualClock
    outbox: Outbox
    sender: Scripted

    async def put(
        self, key: str, destination: str = "there", *, priority: int = 5, spacing: float = 0.0, **payload: Any
    ) -> None:
        """Want a message, in a transaction of its own."""
        now = self.clock.micros()
        fresh = self.ground.ids.new()
        await self.ground.db.write(
            lambda tx: store.put(
                tx,
                id=fresh,
                kind="note",
                key=key,
                destination=destination,
                payload=payload,
                now=now,
                priority=priority,
                spacing=spacing,
            )
        )
        self.outbox.wake()

    async def listed(self, destination: str = "there") -> Sequence[Delivery]:
        """Oldest first."""
        found = await self.ground.db.read(lambda tx: store.deliveries(tx, destination, 1 << 62, 1000))
        return [delivery for _, delivery in reversed(found)]

    async def states(self, destination: str = "there") -> list[str]:
        return [delivery.state for delivery in await self.listed(destination)]

    async def until(self, *states: str, destination: str = "there") -> None:
        """Wait until the messages are so."""

        async def so() -> bool:
            return await self.states(destination) == list(states)

        await eventually(so)

    async def until_sent(self, count: int) -> None:
        await eventually(lambda: len(self.sender.sent) >= count and not self.outbox.figures["sending"])

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        self.outbox.wake()

    async def idle(self) -> None:
        """Wait until a look that began now has found nothing to do."""
        for _ in range(2):
            before = self.outbox._counted
            self.outbox.wake()
            await eventually(lambda was=before: self.outbox._counted is not was)  # type: ignore[misc]
        await eventually(lambda: not self.outbox.figures["sending"])


@asynccontextmanager
async def open_post(
    path: Path, url: str | None = None, *, clock: ManualClock | None = None, sender: Scripted | None = None
) -> AsyncIterator[Post]:
    clock, sender = clock or ManualClock(), sender or Scripted()
    async with open_ground(path, clock, url=url) as ground:
        outbox = Outbox(ground.db, clock, ground.tasks, Middle(1), {"note": sender})
        running = ground.tasks.spawn("outbox", outbox.run())
        yield Post(ground, clock, outbox, sender)
        await ground.tasks.stop(running)
