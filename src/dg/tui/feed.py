"""Keeps the store as the server has it: one event stream, resumed without a gap, and reads of what changed.

It never gives up and raises nothing but cancellation: a lost server is a state that the top bar shows, and so
is an error of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING, TypeVar

from dg.core.errors import Forbidden, NotFound, Problem, TooMany, Unauthenticated, Unavailable
from dg.tui.auth import rights_of
from dg.tui.store import RECENT, Link, LinkState, Store
from dg.tui.views import (
    ENVIRONMENTS,
    DeploymentView,
    EnvironmentView,
    FactView,
    LaneView,
    ProgressView,
)

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.client.models import Event
    from dg.core.clock import Clock
    from dg.core.deployments.models import Deployment

T = TypeVar("T")

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before the next try to connect, the last one for ever; each more or less by a fifth."""
KNOCK = 1.5
"""Most seconds before the next try where nobody answers: a server that is back is found within two seconds,
and a connection that comes to nothing costs it nothing."""
BEAT = 2.0
"""Seconds between two looks whether the server is there."""
LATE = 3.0
"""Seconds without an answer after which the connection is slow."""
LOST = 9.0
"""Seconds without an answer after which it is lost."""
GATHER = 0.2
"""Seconds in which changes come together before they are read."""
REST = 3.0
"""How many times as long as a read took the next one waits: a storm costs a quarter of the time at most."""
FEW = 5
"""So many changed deployments are read one by one, more as a page."""
WATCHED = 6
"""Most running deployments whose progress is read."""
EVERY = 1.0
"""Seconds between two looks at the progress of what runs."""
UNWELL = 10.0
"""Seconds between two looks at an environment that is not healthy: why may change, and nobody tells."""
POLL = 5.0
"""Seconds between two looks at what happened, where the stream is refused."""

RIGHTS = ("token.", "key.", "role.", "binding.", "session.")
"""How facts begin after which somebody may do more or less."""


@dataclass
class Dirty:
    """What has changed since it was read last."""

    deployments: set[str] = field(default_factory=set)
    environments: set[str] = field(default_factory=set)
    lanes: bool = False
    rights: bool = False
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def mark(self, fact: Event) -> None:
        if deployment := fact.payload.get("deployment"):
            self.deployments.add(str(deployment))
        if fact.type.startswith(("environment.", "drift.")) and fact.environment in ENVIRONMENTS:
            self.environments.add(fact.environment)
        self.lanes |= fact.type.startswith(("deployment.", "lane.", "freeze.", "pipeline.", "version."))
        self.rights |= fact.type.startswith(RIGHTS)
        self.arrived.set()

    def take(self) -> Dirty:
        """All of it; from now on nothing is dirty."""
        taken = Dirty(self.deployments, self.environments, self.lanes, self.rights)
        self.deployments, self.environments, self.lanes, self.rights = set(), set(), False, False
        self.arrived.clear()
        return taken


class Feed:
    """One server's state, kept in `store` while `run` runs. `connect` makes a client.

    `on_error` hears of errors that are no answer of a server and no lack of one.
    """

    def __init__(
        self,
        store: Store,
        connect: Callable[[], Client],
        clock: Clock,
        random: Random,
        on_error: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self._on_error = on_error
        self._store, self._connect, self._clock, self._random = store, connect, clock, random
        self._client: Client | None = None
        self._retry = asyncio.Event()
        self._dirty = Dirty()
        self._usual = LinkState.LIVE

    async def run(self) -> None:
        """Connect, follow, and connect again, until cancelled."""
        attempt = 0
        while True:
            problem = await self._until_lost()
            attempt = 1 if self._store.link.live else attempt + 1
            await self._wait(problem, attempt)

    def retry(self) -> None:
        """Try to connect now."""
        self._retry.set()

    async def call(self, ask: Callable[[Client], Awaitable[T]]) -> T:
        """One request of a screen. Raises Unavailable without a connection, and what the client raises."""
        client = self._client
        if client is None:
            raise Unavailable("there is no connection to the server")
        try:
            return await ask(client)
        except RuntimeError as error:
            # So httpx says that a client was closed, while a screen that reads several things had one to go.
            if client is self._client:
                raise
            raise Unavailable("the connection ended") from error

    # One connection

    async def _until_lost(self) -> Problem:
        """Connect and follow; the answer is why that is over."""
        lost: Problem = Unavailable("the connection ended")
        try:
            await self._follow()
        except* Problem as broken:
            lost = _first(broken)
        except* Exception as broken:  # noqa: BLE001  a dashboard that ends is the worst answer to any
            self._on_error(broken)
            lost = Unavailable("what the server says could not be followed")
        return lost

    async def _follow(self) -> None:
        self._dirty, self._usual = Dirty(), LinkState.LIVE
        async with self._connected() as client, asyncio.TaskGroup() as group:
            group.create_task(self._hear(client), name="tui: events")
            group.create_task(self._beat(client), name="tui: heartbeat")
            group.create_task(self._read_changes(client), name="tui: changes")
            group.create_task(self._watch(client), name="tui: progress")
            group.create_task(self._attend(client), name="tui: health")

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        async with await asyncio.to_thread(self._connect) as client:
            self._client = client
            try:
                yield client
            finally:
                self._client = None

    async def _hear(self, client: Client) -> None:
        from dg.client.errors import Unintelligible

        await self._read_rights(client)
        await self._look_around(client)
        try:
            await self._listen(client)
        except (Unintelligible, NotFound, Forbidden) as refused:
            # A proxy may let requests through and no streams. What refuses these too is told by the read.
            await self._poll(client, refused)

    async def _listen(self, client: Client) -> None:
        async with aclosing(client.events.listen(after=self._store.seq)) as stream:
            async for heard in stream:
                if isinstance(heard, int):
                    seq = heard
                else:
                    seq = heard.seq
                    if self._store.seq is None or seq > self._store.seq:
                        self._dirty.mark(heard)
                        self._store.add_fact(FactView.of(heard))
                # The whole state is read behind the place where the stream begins: so there is no gap.
                if self._store.seq is None or not self._store.link.live:
                    self._store.seq = max(seq, self._store.seq or 0)
                    await self._read_all(client)
                self._store.seq = max(seq, self._store.seq)

    async def _poll(self, client: Client, refused: Problem) -> None:
        after = self._store.seq
        if after is None:
            # Where the ledger ends is not known without the stream: what came before now is read once.
            after = await _end(client)
        self._usual = LinkState.POLLING
        self._store.seq = after
        await self._read_all(client)
        self._store.set_link(Link(LinkState.POLLING, self._clock.monotonic(), refused.message))
        while True:
            await self._patiently(partial(self._read_facts, client))
            await self._clock.sleep(POLL)

    async def _look_around(self, client: Client) -> None:
        """Read everything again and again, for as long as somebody may not read what happened."""
        if self._store.rights.may_anywhere("event:read"):
            return
        self._usual = LinkState.POLLING
        await self._read_all(client)
        while not self._store.rights.may_anywhere("event:read"):
            await self._clock.sleep(POLL)
            await self._patiently(partial(self._read_state, client))
            self._said_so()
        self._usual = LinkState.LIVE

    async def _read_facts(self, client: Client) -> None:
        while True:
            before = self._store.seq or 0
            page = await client.events.read(after=before)
            for fact in page.items:
                self._dirty.mark(fact)
                self._store.add_fact(FactView.of(fact))
            self._store.seq = page.next_after
            if page.next_after <= before:
                return

    async def _patiently(self, ask: Callable[[], Awaitable[None]]) -> None:
        """Ask, and again when the server takes it; what is seen stays so until then."""
        while True:
            try:
                return await ask()
            except TooMany as limited:
                if not self._store.link.live:
                    raise
                pause = _asked(limited)
                now = self._clock.monotonic()
                self._store.set_link(Link(LinkState.LIMITED, now, limited.message, 0, now + pause))
                await self._clock.sleep(pause)
                self._store.set_link(Link(self._usual, self._clock.monotonic()))

    async def _read_all(self, client: Client) -> None:
        await self._read_state(client)
        self._said_so()
        self._store.set_link(Link(self._usual, self._clock.monotonic()))

    async def _read_state(self, client: Client) -> None:
        if not self._store.activity and self._store.rights.may_anywhere("event:read"):
            newest = await client.events.read(after=max(0, (self._store.seq or 0) - 50), limit=50)
            for fact in newest.items:
                self._store.add_fact(FactView.of(fact))
        await self._read_lanes(client)
        await self._read_page(client)
        await self._read_environments(client, ENVIRONMENTS)

    async def _read_rights(self, client: Client) -> None:
        self._store.set_rights(rights_of(await client.whoami()))

    # Who may not know something does not even ask: that would be a denied try on the record.

    async def _read_lanes(self, client: Client) -> None:
        found = await client.lanes.list() if self._store.rights.may_anywhere("lane:read") else ()
        self._store.set_lanes(map(LaneView.of, found))

    async def _read_page(self, client: Client) -> None:
        found: Iterable[Deployment] = ()
        if self._store.rights.may_anywhere("deployment:read"):
            found = (await client.deployments.list(limit=RECENT)).items
        self._store.set_deployments(map(DeploymentView.of, found))

    async def _read_changes(self, client: Client) -> None:
        while True:
            await self._dirty.arrived.wait()
            await self._clock.sleep(GATHER)
            began = self._clock.monotonic()
            await self._patiently(partial(self._read_dirty, client, self._dirty.take()))
            self._said_so()
            await self._clock.sleep(REST * (self._clock.monotonic() - began))

    async def _read_dirty(self, client: Client, dirty: Dirty) -> None:
        if len(dirty.deployments) > FEW:
            await self._read_page(client)
        else:
            for each in sorted(dirty.deployments):
                await self._read_deployment(client, each)
        if dirty.lanes:
            await self._read_lanes(client)
        if dirty.rights:
            await self._read_rights(client)
        await self._read_environments(client, ENVIRONMENTS if dirty.rights else sorted(dirty.environments))

    async def _read_deployment(self, client: Client, deployment_id: str) -> None:
        if self._store.rights.may_anywhere("deployment:read"):
            # Whose facts one may read is not always one whose deployment one may.
            with suppress(NotFound):
                self._store.put_deployment(DeploymentView.of(await client.deployments.get(deployment_id)))

    async def _read_environments(self, client: Client, names: Collection[str]) -> None:
        """How they are."""
        may = [name for name in names if self._store.rights.may("environment:read", name)]
        domains = {each.name.value: each.domain for each in await client.environments.list()} if may else {}
        for name in names:
            found = EnvironmentView(name)
            if name in domains:
                found = await self._look_at(client, name, domains[name])
            self._store.put_environment(found)

    async def _look_at(self, client: Client, name: str, domain: str) -> EnvironmentView:
        from dg.core.types import Environment

        health = await client.health.get(Environment(name))
        return EnvironmentView.of(domain, health, await client.environments.drift(Environment(name)))

    async def _attend(self, client: Client) -> None:
        while True:
            await self._clock.sleep(UNWELL)
            unwell = [each.name for each in self._store.environments.values() if not each.well]
            await self._patiently(partial(self._read_environments, client, unwell))

    async def _watch(self, client: Client) -> None:
        while True:
            await self._patiently(partial(self._read_progress, client))
            await self._clock.sleep(EVERY)

    async def _read_progress(self, client: Client) -> None:
        for each in self._store.running[-WATCHED:]:
            found = await client.deployments.status(each.id)
            self._store.put_deployment(_merged(each, DeploymentView.of(found.deployment)))
            self._store.put_progress(each.id, ProgressView.of(found))

    async def _beat(self, client: Client) -> None:
        """Look whether the server is there: a connection that was cut without a word says nothing itself."""
        answered = self._clock.monotonic()
        while True:
            await self._clock.sleep(BEAT)
            try:
                async with asyncio.timeout(LATE):
                    who = await client.whoami(patience=LATE / 2)
            except TooMany as limited:
                # It is there, too. Another look would be in vain until then.
                self._said_so()
                await self._clock.sleep(min(_asked(limited), LOST))
                answered = self._clock.monotonic()
                continue
            except TimeoutError:
                silent = self._clock.monotonic() - answered
                if silent >= LOST:
                    raise Unavailable(f"no answer for {silent:.0f} s") from None
                if self._store.link.state is self._usual:
                    self._store.set_link(Link(LinkState.SLOW, answered))
                continue
            answered = self._clock.monotonic()
            self._said_so()
            self._store.set_rights(rights_of(who))
            if self._store.link.state is LinkState.SLOW:
                self._store.set_link(Link(self._usual, answered))

    def _said_so(self) -> None:
        self._store.at = self._clock.micros()

    # Between two connections

    async def _wait(self, problem: Problem, attempt: int) -> None:
        pause = _pause(problem, attempt) * self._random.uniform(0.8, 1.2)
        pause = max(pause, _asked(problem)) if isinstance(problem, TooMany) else pause
        now = self._clock.monotonic()
        before = self._store.link
        out = isinstance(problem, Unauthenticated)
        state = LinkState.SIGNED_OUT if out else LinkState.DISCONNECTED
        since = before.since if before.state is state else now
        self._store.set_link(Link(state, since, problem.message, attempt, now + pause))
        self._retry.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._retry.wait()


def _merged(known: DeploymentView, found: DeploymentView) -> DeploymentView:
    """A look at the status alone does not judge the gates: what is known of them stays."""
    if known.state == "needs_approval" and found.status == "pending":
        return known
    return found


def _pause(problem: Problem, attempt: int) -> float:
    """Seconds before the next try, more or less."""
    from dg.client.errors import Unreachable

    pause = PAUSES[min(attempt, len(PAUSES)) - 1]
    return min(pause, KNOCK) if isinstance(problem, Unreachable) else pause


def _asked(limited: TooMany) -> float:
    """Seconds until the server takes requests again."""
    from dg.client.http import asked_pause

    return asked_pause(limited)


async def _end(client: Client) -> int:
    """The `seq` of the last fact that there is now."""
    last = 0
    async for fact in client.events.all():
        last = fact.seq
    return last


def _first(broken: BaseExceptionGroup[Problem]) -> Problem:
    """The problem that says most: who may not come in comes before what does not answer."""
    problems = list[Problem]()
    ahead: list[BaseException] = [broken]
    while ahead:
        each = ahead.pop()
        if isinstance(each, BaseExceptionGroup):
            ahead += each.exceptions
        elif isinstance(each, Problem):
            problems.append(each)
    return next((each for each in problems if isinstance(each, Unauthenticated)), problems[0])
