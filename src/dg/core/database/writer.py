"""What a database is to the rest of dg, and the writer that every one has: one queue, shared commits."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dg.core import tracing
from dg.core.clock import Clock
from dg.core.database.statements import Statement
from dg.core.database.transactions import Publish, Seal, Tx

T = TypeVar("T")

_BATCH = 64
"""Units of work that may share one COMMIT: more only makes the first of them wait."""


@dataclass(slots=True)
class Unit(Generic[T]):
    """One function that was handed to `write`, and whoever waits for its value."""

    fn: Callable[[Tx], T]
    future: asyncio.Future[T]


@dataclass(slots=True)
class Outcome:
    """How a unit ended, and the entries of the ledger that came of it."""

    value: Any = None
    error: BaseException | None = None
    entries: Sequence[Any] = ()


class Database(ABC):
    """`write`, `read` and `glance` on one database.

    Writers that come together share one COMMIT, each in a savepoint of its own: one wait for the disk pays
    for all, one failure undoes only itself, and no two units ever run beside one another.
    """

    def __init__(self, clock: Clock, seal: Seal, publish: Publish) -> None:
        self._clock = clock
        self._seal = seal
        self._publish = publish
        self._units: asyncio.Queue[Unit[Any]] = asyncio.Queue()
        self._broken: str | None = None
        self._busy_since: float | None = None

    @property
    def stalled(self) -> float:
        """Seconds for which the writer has been at the commit it is at now."""
        since = self._busy_since
        return 0.0 if since is None else self._clock.monotonic() - since

    @property
    def trouble(self) -> str | None:
        """Why the last commit failed, None when it went well: what `/health` says."""
        return self._broken

    @property
    def waiting(self) -> int:
        """Units of work that wait for the writer."""
        return self._units.qsize()

    @property
    def backlog(self) -> int:
        """Bytes that were committed and are not yet where they belong, since somebody still reads there."""
        return 0

    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` in a transaction and return its value after COMMIT.

        `fn` may be run again and must touch only `tx`. What it raises undoes it alone and is raised here.
        Raises Unavailable when the database itself refuses (disk full, I/O error, locked).
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with tracing.span("write", {"code.function.name": getattr(fn, "__qualname__", "")}):
            self._units.put_nowait(Unit(fn, future))
            return await future

    @abstractmethod
    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` against one consistent snapshot, beside the writer. Raises Unavailable as `write` does."""

    @abstractmethod
    async def glance(self, fn: Callable[[Tx], T]) -> T:
        """`read` for a few rows by their keys; `fn` may be run twice."""

    async def row(self, statement: Statement, **values: Any) -> tuple[Any, ...] | None:
        """The values of one row by its key, None where there is none. Raises Unavailable as `write` does."""
        return await self.glance(lambda tx: tx.values(statement, **values))

    @abstractmethod
    async def maintain(self) -> dict[str, int]:
        """Do what the database needs now and then; sizes as from `sizes`. Called by the retention job."""

    @abstractmethod
    async def sizes(self) -> dict[str, int]:
        """Bytes that it takes, by name; `bytes` is always there."""

    async def serve(self) -> None:
        """The writer: commits what comes, together what comes together, until it is cancelled."""
        while True:
            batch = [await self._units.get()]
            while len(batch) < _BATCH and not self._units.empty():
                batch.append(self._units.get_nowait())
            self._busy_since = self._clock.monotonic()
            outcomes = await asyncio.shield(self._commit_batch(batch))
            self._busy_since = None
            for outcome in outcomes:
                if outcome.entries:
                    self._publish(outcome.entries)
            for unit, outcome in zip(batch, outcomes, strict=True):
                settle(unit.future, outcome)
                self._units.task_done()

    async def drain(self) -> None:
        """Commit what was handed in before closing."""
        await self._units.join()

    @abstractmethod
    async def _commit_batch(self, batch: Sequence[Unit[Any]]) -> Sequence[Outcome]:
        """Run `batch` in one transaction; what becomes of each unit, in order. Raises nothing."""


def settle(future: asyncio.Future[Any], outcome: Outcome) -> None:
    """Tell whoever waits, unless they went away."""
    if future.done():
        return
    if outcome.error is None:
        future.set_result(outcome.value)
    else:
        future.set_exception(outcome.error)
