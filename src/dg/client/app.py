"""The Python SDK: `Client` speaks dg's HTTP API, typed; the CLI, the dashboard and scripts go through it."""

from __future__ import annotations

from pathlib import Path
from random import Random, SystemRandom
from types import TracebackType
from typing import Self

import httpx

from dg.client.deployments import Deployments
from dg.client.feed import Events
from dg.client.figures import Figures
from dg.client.http import Http, path
from dg.client.lanes import Lanes
from dg.client.pipelines import Pipelines
from dg.client.tokens import Tokens
from dg.client.wire import decode
from dg.core.access.models import Principal
from dg.core.clock import Clock, SystemClock


class Client:
    """One server, seen by the owner of one token.

        async with Client("http://127.0.0.1:8470", token) as dg:
            lane = await dg.lanes.get("web", Environment.PRODUCTION)

    Every method raises the core's errors (`dg.core.errors`), Unreachable when nothing answers. Requests that
    may be repeated are: reading, and every write, which carries an Idempotency-Key. `timeout` is in seconds,
    for each phase of one try. `ca_file` (PEM) has the only authorities to believe, in place of the public
    ones. Raises Invalid for an address that is none or would show the token to all, and for a bad `ca_file`.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: float = 30.0,
        clock: Clock | None = None,
        random: Random | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self._http = Http(
            url,
            token,
            transport=transport,
            timeout=timeout,
            clock=clock or SystemClock(),
            random=random or SystemRandom(),
            ca_file=ca_file,
        )
        self.url = self._http.url
        self.deployments = Deployments(self._http)
        self.lanes = Lanes(self._http)
        self.pipelines = Pipelines(self._http)
        self.figures = Figures(self._http)
        self.tokens = Tokens(self._http)
        self.events = Events(self._http)

    async def whoami(self) -> Principal:
        """Whom the token stands for, and what it may do."""
        return decode(Principal, await self._http.get(path("whoami")))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()
