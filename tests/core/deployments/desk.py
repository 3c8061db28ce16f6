"""Deployments moved by the rules alone: the database is real, what runners report is made up."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol, TypeVar

from dg.core import ledger
from dg.core.clock import Ids
from dg.core.database import Tx
from dg.core.deployments import endings, lanes, lifecycle, pipeline, store
from dg.core.deployments.endings import Ending
from dg.core.deployments.models import Deployment, Kind, Lock, Reason, Status, Step
from dg.core.ledger import Entry
from dg.core.testing import ManualClock, entropy, make_home, person
from dg.core.types import Environment

T = TypeVar("T")
SECOND = 1_000_000
ANA = person("operator", name="ana")

_PIPELINE = """
version = 1
service = "web"

[source]
git = "/srv/git/web"

[[step]]
name = "build"
phase = "build"
run = ["make", "image"]
output = {{ image = "web:{{version}}" }}

[[step]]
name = "migrate"
phase = "deploy"
run = ["make", "migrate"]
reversible = {reversible}

[[step]]
name = "rollout"
phase = "deploy"
run = ["make", "rollout"]

[[step]]
name = "smoke"
phase = "verify"
run = ["make", "smoke"]

[rollback]
auto = "{auto}"
lock = {lock}
"""


def commit_of(version: str) -> str:
    """The commit that carries `version`, always the same."""
    return hashlib.sha1(version.encode(), usedforsecurity=False).hexdigest()


def text(*, auto: str = "verify_failed", lock: str = '"30m"', reversible: bool = True) -> str:
    """A pipeline of four steps."""
    return _PIPELINE.format(auto=auto, lock=lock, reversible=str(reversible).lower())


class Keeper(Protocol):
    """What the desk needs of a database."""

    async def write(self, fn: Callable[[Tx], T]) -> T: ...

    async def read(self, fn: Callable[[Tx], T]) -> T: ...


class Notebook:
    """The state database in memory, without threads and without durability: for thousands of examples."""

    def __init__(self, clock: ManualClock) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._seal = ledger.Ledger(clock).seal
        with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(_state(Path(folder)))) as file:
            file.backup(self._connection)

    async def write(self, fn: Callable[[Tx], T]) -> T:
        self._connection.execute("BEGIN")
        tx = Tx(self._connection)
        try:
            value = fn(tx)
            self._seal(tx)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        return value

    async def read(self, fn: Callable[[Tx], T]) -> T:
        return fn(Tx(self._connection))

    def close(self) -> None:
        self._connection.close()


def _state(folder: Path) -> Path:
    return make_home(folder).state


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The value of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    raise RuntimeError("it waits for something")


class Desk:
    """One lane, `web/production` unless it is said otherwise, and what happens in it."""

    def __init__(self, db: Keeper, clock: ManualClock) -> None:
        self.db = db
        self.clock = clock
        self.lane = ("web", "production")
        self.text = text()
        self._ids = Ids(clock, entropy())

    async def write(self, work: Callable[[Tx], T]) -> T:
        return await self.db.write(work)

    async def read(self, deployment: Deployment | str) -> Deployment:
        """As it stands now."""
        key = deployment if isinstance(deployment, str) else deployment.id
        return await self.db.read(lambda tx: store.require(tx, key))

    async def facts(self) -> lanes.Facts:
        return await self.db.read(lambda tx: lifecycle.facts(tx, *self.lane, self.clock.micros()))

    async def blocked(self) -> list[str]:
        return [block.commit_sha for block in await self.db.read(lambda tx: store.blocks(tx, *self.lane))]

    async def lock(self) -> Lock | None:
        return (await self.facts()).active_lock

    async def set_lock(self, *, automatic: bool, reason: str = "somebody looks", seconds: int = 3600) -> None:
        now = self.clock.micros()
        lock = Lock(reason=reason, automatic=automatic, by="ana", since=now, until=now + seconds * SECOND)
        await self.write(lambda tx: store.set_lock(tx, *self.lane, lock))

    async def steps(self, deployment: Deployment) -> tuple[Step, ...]:
        return await self.db.read(lambda tx: store.steps(tx, deployment.id))

    async def entries(self, kind: str | None = None) -> list[Entry]:
        """What the ledger says, of one type or of all."""
        found = await self.db.read(lambda tx: ledger.after(tx, 0, 1000))
        return [entry for entry in found if kind in (None, entry.type)]

    async def ask(self, version: str = "v1", **changes: Any) -> Deployment:
        """Create a deployment of `version`, one microsecond after the one before."""
        self.clock.jump(0.000_001)
        now = self.clock.micros()
        service, environment = self.lane
        deployment = Deployment(
            id=self._ids.new(),
            number=0,
            service=service,
            environment=Environment(environment),
            kind=Kind.DEPLOY,
            status=Status.PENDING,
            stage="queued",
            version=version,
            commit_sha=commit_of(version),
            created_by=ANA.id,
            created_at=now,
            queued_at=now,
            pipeline_sha256=pipeline.sha256(self.text),
        ).model_copy(update=changes)

        def work(tx: Tx) -> Deployment:
            store.keep_snapshot(tx, deployment.pipeline_sha256, self.text)
            return lifecycle.create(tx, deployment, ANA)

        return await self.write(work)

    async def start(self) -> Deployment | None:
        """Give the lane to whoever is next."""
        return await self.write(lambda tx: lifecycle.start_next(tx, *self.lane, self.clock.micros(), 20))

    async def report(self, deployment: Deployment, *happened: dict[str, Any]) -> Deployment:
        """Events of the runner, numbered after those it told before."""

        def work(tx: Tx) -> Deployment:
            current = store.require(tx, deployment.id)
            events = [{"n": current.spool_seq + at, **event} for at, event in enumerate(happened, start=1)]
            return lifecycle.advance(tx, current, events)

        return await self.write(work)

    def begun(self, index: int) -> dict[str, Any]:
        return {"t": self.clock.micros(), "event": "step_started", "index": index}

    def ended(self, index: int, *, ok: bool = True, **more: Any) -> dict[str, Any]:
        return {
            "t": self.clock.micros(),
            "event": "step_ended",
            "index": index,
            "ok": ok,
            "seconds": 2.0,
            "reason": None if ok else "step_failed",
            "detail": f"step {index} exited with {0 if ok else 1}",
            "outputs": {},
        } | more

    async def touch(self, deployment: Deployment) -> Deployment:
        """Begin its first deploy step; whatever stands before it went well."""
        steps = await self.steps(deployment)
        first = next(step.index for step in steps if step.phase == "deploy")
        before: Sequence[dict[str, Any]] = [
            event for index in range(first) for event in (self.begun(index), self.ended(index))
        ]
        return await self.report(deployment, *before, self.begun(first))

    async def end(
        self,
        deployment: Deployment,
        outcome: str = "success",
        reason: Reason | None = None,
        message: str | None = None,
        outputs: dict[str, str] | None = None,
        at: int | None = None,
    ) -> Deployment:
        """Its runner's last word, which said that it ended `at`."""
        ending = Ending(outcome, reason, message, outputs=outputs or {}, at=at)
        rollback = self._ids.new()

        def work(tx: Tx) -> Deployment:
            current = store.require(tx, deployment.id)
            return endings.conclude(tx, current, ending, self.clock.micros(), rollback)

        return await self.write(work)

    async def begin(self, version: str = "v1", *, touched: bool = True, **changes: Any) -> Deployment:
        """Create and start a deployment, and let it touch what it deploys to."""
        asked = await self.ask(version, **changes)
        started = await self.start()
        assert started is not None
        assert started.id == asked.id
        return await self.touch(started) if touched else started

    async def succeed(self, version: str = "v1", **changes: Any) -> Deployment:
        """A whole deployment that goes well."""
        return await self.end(await self.begin(version, **changes), outputs={"image": f"web:{version}"})

    async def fail(
        self, version: str = "v2", reason: Reason = Reason.VERIFY_FAILED, *, touched: bool = True
    ) -> Deployment:
        """A whole deployment that fails."""
        begun = await self.begin(version, touched=touched)
        return await self.end(begun, "failed", reason, "step `smoke` exited with 1")

    async def rollback(self) -> Deployment:
        """Start the rollback that holds the lane."""
        started = await self.start()
        assert started is not None
        assert started.kind is Kind.ROLLBACK
        return await self.touch(started)
