"""Sends what waits: one message at a time to each destination, a few destinations at once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from dg.core.clock import SECOND, Clock
from dg.core.database import Database, Row, Tx
from dg.core.errors import Problem
from dg.core.outbox import store
from dg.core.outbox.models import Failed, Later, Message, Outcome, Policy, Sender, Sent
from dg.core.tasks import Tasks

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Destinations that are sent to at the same time."""
LONGEST_PAUSE = 2 * 3600.0
"""Seconds that a destination may ask to be left alone."""

_LOOK = 30.0
_AGAIN = 5.0
_LONGEST_ERROR = 500


class Outbox:
    """The messages that wait, and whoever sends them. `run` is its loop; `wake` says that one may be due.

    A message is sent at least once: it counts as sent when that is committed. `senders` are by kind.
    """

    def __init__(
        self, db: Database, clock: Clock, tasks: Tasks, random: Random, senders: Mapping[str, Sender]
    ) -> None:
        self._db = db
        self._clock = clock
        self._tasks = tasks
        self._random = random
        self._senders = senders
        self._wake = asyncio.Event()
        self._busy: set[str] = set()
        self._counted: dict[str, Any] = {}

    def wake(self) -> None:
        """Something may be due now."""
        self._wake.set()

    @property
    def figures(self) -> dict[str, Any]:
        """For the diagnostics: what waits, for how long the oldest has, and which destinations are in
        trouble, as of the last look, at most half a minute ago."""
        counted = dict(self._counted)
        oldest = counted.pop("oldest", None)
        age = 0.0 if oldest is None else max(0.0, (self._clock.micros() - oldest) / SECOND)
        return {**counted, "oldest_age": round(age, 3), "sending": len(self._busy)}

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        while True:
            self._wake.clear()
            try:
                wait = await self._look()
            except Problem as problem:
                log.warning("the outbox cannot be read: %s", problem.message)
                wait = _AGAIN
            # Not wait_for: before Python 3.12 it swallows a cancellation that meets a wake-up.
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _look(self) -> float:
        """Start sending what is due; how many seconds until something else is."""
        now = self._clock.micros()
        due, earliest, self._counted = await self._db.read(
            lambda tx: (store.destinations_due(tx, now), store.earliest(tx), store.figures(tx))
        )
        for destination in due:
            if len(self._busy) < AT_ONCE and destination not in self._busy:
                self._busy.add(destination)
                self._tasks.spawn(f"send to {destination}", self._serve(destination))
        if earliest is None or len(self._busy) >= AT_ONCE:
            return _LOOK
        # What is due already is being sent; its end wakes this loop.
        return min(_LOOK, max(0.05, (earliest - now) / SECOND)) if earliest > now else _LOOK

    async def _serve(self, destination: str) -> None:
        """Send what is due for one destination, one after the other."""
        try:
            while message := await self._next(destination):
                outcome = await self._try(message)
                await self._db.write(partial(self._note, message=message, outcome=outcome))
        except Problem as problem:
            log.warning("what was sent to %s could not be noted: %s", destination, problem.message)
            await self._clock.sleep(_AGAIN)
        finally:
            self._busy.discard(destination)
            self.wake()

    async def _next(self, destination: str) -> Message | None:
        now = self._clock.micros()
        return await self._db.read(lambda tx: store.next_due(tx, destination, now))

    async def _try(self, message: Message) -> Outcome:
        sender = self._senders.get(message.kind)
        if sender is None:
            return Failed(f"nothing here sends messages of the kind {message.kind}", at_fault="message")
        try:
            return await sender.send(message)
        except Problem as problem:
            return Failed(problem.message)
        except Exception:
            log.exception("sending %s %s failed", message.kind, message.id)
            return Failed("dg failed to send it; its log has the cause", at_fault="message")

    def _note(self, tx: Tx, message: Message, outcome: Outcome) -> None:
        row = store.row_of(tx, message.id)
        if row is None:
            # Its destination was removed while it was on its way.
            return
        now = self._clock.micros()
        if isinstance(outcome, Sent):
            self._note_sent(tx, message, outcome, row["wanted"], now)
        elif isinstance(outcome, Later):
            # Another state that came meanwhile may be more urgent, and is looked at anew.
            newer = row["wanted"] != message.revision
            store.put_off(tx, message.id, now if newer else now + int(outcome.seconds * SECOND))
        else:
            self._note_failed(tx, message, outcome, row, now)

    def _note_sent(self, tx: Tx, message: Message, sent: Sent, wanted: int, now: int) -> None:
        whole = wanted == message.revision
        store.settle(
            tx,
            message.id,
            memory=_kept(message, sent.memory),
            sent=message.revision,
            status="sent" if whole else "waiting",
            attempts=message.attempts + 1 if whole else 0,
            next_at=None if whole else now,
            settled_at=now if whole else None,
            last_error=None,
            answer=sent.answer,
        )
        destination = store.destination_of(tx, message.destination)
        if destination.failures:
            store.set_destination(tx, store.Destination(message.destination, held=destination.held))

    def _note_failed(self, tx: Tx, message: Message, failure: Failed, row: Row, now: int) -> None:
        sender = self._senders.get(message.kind)
        policy = sender.policy if sender else Policy()
        attempts = message.attempts + 1
        newer = row["wanted"] != message.revision
        over = not newer and (failure.final or attempts >= policy.attempts)
        error = failure.error[:_LONGEST_ERROR]
        store.settle(
            tx,
            message.id,
            memory=_kept(message, failure.memory),
            sent=row["sent"],
            status="failed" if over else "waiting",
            attempts=attempts,
            next_at=None if over else now + self._pause(policy, attempts, failure),
            settled_at=now if over else None,
            last_error=error,
            answer=failure.answer,
        )
        if failure.at_fault == "message":
            return
        before = store.destination_of(tx, message.destination)
        failures = before.failures + 1
        after = replace(
            before,
            failures=failures,
            failing_since=before.failing_since or now,
            next_at=now + self._pause(policy, failures, failure),
            last_error=error,
        )
        store.set_destination(tx, after)
        if sender:
            sender.failed(tx, message, failure, failures, now)

    def _pause(self, policy: Policy, tries: int, failure: Failed) -> int:
        """Microseconds until the next try: doubled each time, of which at least half."""
        doubled = min(policy.longest, policy.first * 2.0 ** min(tries - 1, 40))
        seconds = doubled * self._random.uniform(0.5, 1.0)
        asked = min(failure.retry_after or 0.0, LONGEST_PAUSE)
        return int(max(seconds, asked) * SECOND)


def hold(tx: Tx, destination: str) -> None:
    """Send nothing to `destination` until `release`; what waits goes on waiting."""
    store.set_destination(tx, replace(store.destination_of(tx, destination), held=1))


def release(tx: Tx, destination: str) -> None:
    """Send again, as if nothing had failed before."""
    store.set_destination(tx, store.Destination(destination))


def _kept(message: Message, learnt: Mapping[str, Any] | None) -> str | None:
    memory = message.memory if learnt is None else learnt
    return json.dumps(dict(memory)) if memory else None
