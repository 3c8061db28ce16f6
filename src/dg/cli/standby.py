"""What `dg serve` does while another server is active on the same PostgreSQL database."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dg.cli.output import Meaning, Output
from dg.cli.serve import announced
from dg.core.errors import Problem
from dg.core.tasks import Tasks, this_task

if TYPE_CHECKING:
    from dg.settings import Settings


class Waiting:
    """Answers on the server's address until it may take over. Used within one task, which it may cancel."""

    def __init__(self, settings: Settings, output: Output, stop: asyncio.Event, tasks: Tasks) -> None:
        self.problem: Problem | None = None
        """Why it cannot even wait."""
        self.server = settings.server
        """The server's settings; a port that the machine chose stays the same afterwards."""
        self._settings = settings
        self._output = output
        self._stop = stop
        self._tasks = tasks
        self._work: list[asyncio.Task[None]] = []

    def begin(self, active: Mapping[str, str]) -> None:
        """Another server is active: called by the core that is being opened."""
        opening = this_task()
        where = f"on {active['host']} with the home {active['path']}" if active else "elsewhere"
        self._work = [
            self._tasks.spawn("standby", self._answer(where, opening)),
            self._tasks.spawn("stop while waiting", self._give_up(opening)),
        ]

    async def end(self) -> None:
        """The waiting is over."""
        for task in self._work:
            await self._tasks.stop(task)

    async def _answer(self, where: str, opening: asyncio.Task[object]) -> None:
        from dg.api.server import listen
        from dg.api.standby import Standby

        try:
            async with listen(Standby(), self.server) as listening:
                self.server = self.server.model_copy(update={"port": listening.port})
                with announced(self._settings, listening.url):
                    self._say(listening.url, where)
                    await asyncio.Event().wait()
        except Problem as problem:
            self.problem = problem
            opening.cancel()

    async def _give_up(self, opening: asyncio.Task[object]) -> None:
        await self._stop.wait()
        opening.cancel()

    def _say(self, url: str, where: str) -> None:
        output = self._output
        if output.json:
            output.record({"standby": url, "active": where})
        else:
            output.line("dg", ("stands by", Meaning.WARN), f"on {url}: the active server is {where}")
        output.stream.flush()
