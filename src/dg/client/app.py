"""The Python SDK: `Client` speaks dg's HTTP API, typed; the CLI, the dashboard and scripts go through it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random, SystemRandom
from types import TracebackType
from typing import Self

import httpx

from dg.client.access import Audit, Bindings, Roles
from dg.client.auth import checked, checked_token
from dg.client.backups import Backups
from dg.client.credentials import Credential, Fixed
from dg.client.deployments import Deployments
from dg.client.environments import Environments
from dg.client.feed import Events
from dg.client.figures import Figures
from dg.client.health import Health
from dg.client.http import Http, path
from dg.client.keys import Keys
from dg.client.lanes import Lanes
from dg.client.ledger import Ledger
from dg.client.models import Limit, Verdict
from dg.client.pipelines import Pipelines
from dg.client.sessions import Sessions
from dg.client.slack import Slack
from dg.client.tokens import Tokens
from dg.client.webhooks import Webhooks
from dg.client.wire import decode
from dg.core.access.models import Decision, Principal
from dg.core.clock import Clock, SystemClock
from dg.core.deployments.models import Page
from dg.core.types import Environment

_UNTOLD = (
    "the server does not say what became of the entry that this machine saw last; "
    "is there a proxy that drops the DG-Ledger headers?"
)


class Client:
    """One server, seen by the owner of one token, or of a session that a file keeps (`SignedIn`).

        async with Client("http://127.0.0.1:8470", token) as dg:
            lane = await dg.lanes.get("web", Environment.PRODUCTION)

    Every method raises the core's errors (`dg.core.errors`), Unreachable when nothing answers. Requests that
    may be repeated are: reading, and every write, which carries an Idempotency-Key. `timeout` is in seconds,
    for each phase of one try, and for all of them together where the server says to come later (429).
    `ca_file` (PEM) has the only authorities to believe, in place of the public ones. Raises Invalid for an
    address that is none or would show the token to all, and for a bad `ca_file`.

    It holds what each answer says of the server's ledger against what it saw before, in the file `memory` too
    when there is one (`dg.client.ledger.state_file` is the command line's); `complain` gets the sentence when
    that does not fit, or it is logged as an error.
    """

    def __init__(
        self,
        url: str,
        token: str | Credential | None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: float = 30.0,
        clock: Clock | None = None,
        random: Random | None = None,
        ca_file: Path | None = None,
        memory: Path | None = None,
        complain: Callable[[str], None] | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self.url = checked(url)
        self.clock = clock
        self.ledger = Ledger(self.url, clock, memory, complain)
        self._http = Http(
            self.url,
            Fixed(checked_token(token)) if isinstance(token, str) else token,
            transport=transport,
            timeout=timeout,
            clock=clock,
            random=random or SystemRandom(),
            ca_file=ca_file,
            ledger=self.ledger,
        )
        self.deployments = Deployments(self._http)
        self.lanes = Lanes(self._http)
        self.pipelines = Pipelines(self._http)
        self.figures = Figures(self._http)
        self.environments = Environments(self._http)
        self.backups = Backups(self._http)
        self.health = Health(self._http)
        self.tokens = Tokens(self._http)
        self.keys = Keys(self._http)
        self.roles = Roles(self._http)
        self.bindings = Bindings(self._http)
        self.sessions = Sessions(self._http)
        self.webhooks = Webhooks(self._http)
        self.slack = Slack(self._http)
        self.audit = Audit(self._http)
        self.events = Events(self._http)

    async def whoami(self, *, patience: float | None = None) -> Principal:
        """Whom the token stands for, and what it may do.

        A server that says to come later than in `patience` seconds is not waited for: that raises TooMany.
        """
        return decode(Principal, await self._http.get(path("whoami"), patience=patience))

    async def check(
        self,
        action: str,
        *,
        environment: Environment | None = None,
        service: str | None = None,
        principal: str | None = None,
    ) -> Decision:
        """Whether the token's owner, or for administrators another `principal`, may do something, and why."""
        asked = {"action": action, "environment": environment, "service": service, "principal": principal}
        return decode(Decision, await self._http.get(path("security", "access", "check"), asked))

    async def verify(self) -> Verdict:
        """Whether the server's record is whole, and still what this client saw of it before."""
        verdict = await self.events.verify()
        if self.ledger.unchecked:
            # Only that answer showed whose ledger it is; the next one tells of the entry seen last.
            await self.whoami()
        doubt = self.ledger.doubt or (_UNTOLD if self.ledger.unchecked else None)
        if verdict.ok and doubt is not None:
            return verdict.model_copy(update={"ok": False, "message": doubt})
        return verdict

    async def limits(self) -> tuple[Limit, ...]:
        """How much the caller may still ask for, by class of requests."""
        return decode(Page[Limit], await self._http.get(path("limits"))).items

    async def token(self, refused: str | None = None) -> str | None:
        """What opens the server now, for a WebSocket of one's own: ask again when its time is over, and with
        the token that the server `refused`."""
        return await self._http.token(refused)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ledger.keep()
        await self._http.close()
