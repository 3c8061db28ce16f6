"""Keeps what probes found, a few seconds' worth at a time. What cannot be kept is not known."""

from __future__ import annotations

import logging

from dg.core.clock import SECOND, Clock
from dg.core.database import Database, Tx
from dg.core.errors import Problem
from dg.core.health import store
from dg.core.health.models import Sample
from dg.core.health.store import Found, Kept
from dg.core.types import Environment
from dg.settings.probes import Probes as ProbeSettings

log = logging.getLogger(__name__)

FLUSH = 5.0
"""Seconds for which tries are kept in memory, and lost when the server is killed."""
_MOST = 50_000
"""Tries that wait for a database which refuses them; older ones are dropped."""

Key = tuple[Environment, str]


class Recorder:
    """Writes to the results' database; `trouble` says why it cannot."""

    def __init__(self, db: Database, clock: Clock, settings: ProbeSettings) -> None:
        self._db = db
        self._clock = clock
        self._keep = {
            store.ALONE: settings.keep_results,
            store.MINUTE: settings.keep_minutes,
            store.HOUR: settings.keep_hours,
            store.DAY: settings.keep_days,
        }
        self._numbers: dict[Key, int] = {}
        self._waiting: list[tuple[Key, int, Sample]] = []
        self._changed: dict[Key, Kept] = {}
        self.trouble: str | None = None

    async def load(self) -> dict[Key, Kept]:
        """How probes stood last."""
        kept = await self._db.read(store.standings)
        self._numbers = {(Environment(name), probe): number for (name, probe), (number, _) in kept.items()}
        return {(Environment(name), probe): standing for (name, probe), (_, standing) in kept.items()}

    def number(self, key: Key) -> int | None:
        """The number that a probe's results have; None before there are any."""
        return self._numbers.get(key)

    def level(self, step: float, since: int) -> int:
        """The longest spans that are no longer than `step` seconds, of those that reach back to `since`."""
        age = (self._clock.micros() - since) / SECOND
        reaching = [level for level in store.LEVELS if self._keep[level] >= age] or [store.LEVELS[-1]]
        return max((level for level in reaching if level <= step), default=reaching[0])

    def add(self, key: Key, at: int, sample: Sample, standing: Kept) -> None:
        """Keep one try, at the next flush."""
        self._waiting.append((key, at, sample))
        self._changed[key] = standing
        if len(self._waiting) > _MOST:
            del self._waiting[: -_MOST // 2]

    async def flush(self) -> None:
        """Write what waits. What is refused waits on, and `trouble` says so."""
        waiting, self._waiting = self._waiting, []
        changed, self._changed = self._changed, {}
        if not waiting:
            return
        new = [key for key in changed if key not in self._numbers]
        first = max(self._numbers.values(), default=0) + 1
        numbers = self._numbers | {key: first + at for at, key in enumerate(new)}

        def work(tx: Tx) -> None:
            for environment, name in new:
                store.add_probe(tx, numbers[environment, name], environment, name)
            found = [Found(numbers[key], at, sample) for key, at, sample in waiting]
            store.record(tx, found, {numbers[key]: kept for key, kept in changed.items()})

        try:
            await self._db.write(work)
        except Problem as problem:
            self._waiting = waiting + self._waiting
            self._changed = changed | self._changed
            if self.trouble is None:
                log.error("what probes find cannot be kept: %s", problem.message)
            self.trouble = problem.message
        else:
            self._numbers = numbers
            self.trouble = None

    async def prune(self) -> None:
        """Forget what is older than it is kept."""
        now = self._clock.micros()

        def work(tx: Tx) -> None:
            for length, seconds in self._keep.items():
                store.prune(tx, length, now - int(seconds * SECOND))

        await self._db.write(work)
