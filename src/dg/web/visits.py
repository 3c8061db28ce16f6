"""Browsers by their cookie: those that wait to be let in, and those that somebody is signed in with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from dg.client.app import Client
from dg.client.credentials import SignedIn
from dg.client.kept import Kept
from dg.core.access.models import Principal
from dg.core.access.sessions import Device, SessionTokens
from dg.core.addresses import neighbours, read
from dg.core.clock import Clock
from dg.core.errors import Problem, TooMany
from dg.core.tasks import Tasks
from dg.web.door import digest, new_cookie

log = logging.getLogger(__name__)

MOST_WAITING, EACH_WAITING = 32, 4
"""Logins that wait at once, of all and of one address."""
MOST_SIGNED_IN = 256
LONGEST = 12 * 3600.0
"""Seconds after which a browser signs in again, however busy it is."""
SHORTEST_IDLE = 300.0
"""Seconds for which whoever closes one tab may open the next one."""
BETWEEN_LOOKS = 15.0
GOODBYE_SECONDS = 3.0


class Held:
    """A session that this process alone keeps, in memory: it is gone with it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._kept: Kept | None = None
        self._turn = asyncio.Lock()

    def read(self) -> Kept | None:
        return self._kept

    def write(self, tokens: SessionTokens, now: int) -> Kept:
        self._kept = Kept.of(self.url, tokens, now)
        return self._kept

    @asynccontextmanager
    async def lock(self, clock: Clock) -> AsyncIterator[None]:
        async with self._turn:
            yield


@dataclass(eq=False)
class Visit:
    """One browser. `person` is there once somebody has let it in. When `over` is set, its dashboards end, and
    `why` says why. `begun` and `seen` are monotonic seconds.
    """

    client: Client
    session: Held
    device: Device
    address: str
    begun: float
    seen: float
    person: Principal | None = None
    why: str = ""
    waits: asyncio.Task[None] | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self, why: str) -> None:
        """It opens nothing from now on."""
        self.why = why
        self.over.set()


class Visits:
    """All browsers that came to the sign-in page. `idle` is in seconds."""

    def __init__(self, url: str, ca_file: Path | None, idle: float, clock: Clock, tasks: Tasks) -> None:
        self._url, self._ca_file, self._idle = url, ca_file, max(idle, SHORTEST_IDLE)
        self._clock, self._tasks = clock, tasks
        self._visits: dict[str, Visit] = {}
        self._asking: list[str] = []
        """Where those come from whose code the server is asked for now: they have their places already."""

    async def begin(self, name: str, address: str) -> str:
        """Ask the server to let somebody in, and give the browser's cookie. Raises Problem."""
        held = Held(self._url)
        client = Client(self._url, SignedIn(held, self._clock), clock=self._clock, ca_file=self._ca_file)
        try:
            with self._place(address):
                device = await client.sessions.ask(name=name, host=f"a browser at {address}")
        except BaseException:
            await client.__aexit__(None, None, None)
            raise
        now = self._clock.monotonic()
        visit = Visit(client, held, device, address, now, now)
        cookie = new_cookie()
        self._visits[digest(cookie)] = visit
        visit.waits = self._tasks.spawn("web: sign-in", self._let_in(visit))
        return cookie

    def find(self, cookie: str | None) -> Visit | None:
        """The visit of the browser with this cookie."""
        visit = self._visits.get(digest(cookie)) if cookie else None
        if visit is not None:
            visit.seen = self._clock.monotonic()
        return visit

    def renew(self, cookie: str) -> str:
        """Another cookie for the same visit: one that somebody put into the browser before opens nothing."""
        visit = self._visits.pop(digest(cookie))
        new = new_cookie()
        self._visits[digest(new)] = visit
        return new

    async def end(self, visit: Visit) -> None:
        """End its dashboards, and its session at the server too."""
        self._visits = {key: each for key, each in self._visits.items() if each is not visit}
        visit.over.set()
        if visit.waits is not None:
            await self._tasks.stop(visit.waits)
        if (kept := visit.session.read()) is not None:
            with suppress(Problem, TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await visit.client.sessions.revoke(kept.session.id)
        await visit.client.__aexit__(None, None, None)

    async def close(self) -> None:
        """End all of them."""
        await asyncio.gather(*(self.end(visit) for visit in list(self._visits.values())))

    async def sweep(self) -> None:
        """End what is over, until cancelled."""
        while True:
            await self._clock.sleep(BETWEEN_LOOKS)
            now = self._clock.monotonic()
            for visit in list(self._visits.values()):
                if self._is_over(visit, now):
                    await self.end(visit)

    def _is_over(self, visit: Visit, now: float) -> bool:
        if visit.person is None:
            return now - visit.begun > visit.device.expires_in + BETWEEN_LOOKS
        return now - visit.begun > LONGEST or now - visit.seen > self._idle

    @contextmanager
    def _place(self, address: str) -> Iterator[None]:
        """Keep a place for the time that an answer takes, else a crowd that comes at once would be let in."""
        self._check_room(address)
        self._asking.append(_counted(address))
        try:
            yield
        finally:
            self._asking.remove(_counted(address))

    def _check_room(self, address: str) -> None:
        waiting = [_counted(visit.address) for visit in self._visits.values() if visit.person is None]
        waiting += self._asking
        if len(waiting) >= MOST_WAITING or waiting.count(_counted(address)) >= EACH_WAITING:
            raise TooMany("too many sign-ins wait here already: try again in some minutes")
        if len(self._visits) + len(self._asking) >= MOST_SIGNED_IN:
            raise TooMany("too many browsers are signed in here: sign out where you need it no more")

    async def _let_in(self, visit: Visit) -> None:
        try:
            tokens = await visit.client.sessions.wait(visit.device)
            visit.session.write(tokens, self._clock.micros())
            visit.person = await visit.client.whoami()
        except Problem as problem:
            visit.stop(problem.message)
        else:
            log.info("%s signed in from %s", visit.person.id, visit.address)


def _counted(address: str) -> str:
    """What stands for an address in a count."""
    try:
        return neighbours(read(address))
    except ValueError:
        return address
