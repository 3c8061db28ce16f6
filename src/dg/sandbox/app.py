"""Puts the sandbox together, tells the story in it and takes it down again: what `dg sandbox` runs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dg import __version__
from dg.core.clock import Clock
from dg.core.tasks import this_task
from dg.sandbox.dashboard import look_around
from dg.sandbox.environments import configure
from dg.sandbox.home import SandboxHome, open_home
from dg.sandbox.hosts import open_hosts, placeholders
from dg.sandbox.people import open_people
from dg.sandbox.repository import make_repository
from dg.sandbox.scene import Differs, Fact, Scene, Teller
from dg.sandbox.server import open_server
from dg.sandbox.slack import introduce, settings
from dg.sandbox.story import tell_story
from dg.slacksim.sim import SlackSim

READING_SECONDS = 4.0
"""How long the end of the story can be read before the dashboard opens."""


@dataclass(frozen=True)
class Options:
    """`home` None is a folder of its own; `port` 0 is a free one; `keep` stays up after the story; `slack`
    has it told in a Slack of the sandbox's own too; `dashboard` opens one after it, on this terminal."""

    home: Path | None = None
    port: int = 0
    keep: bool = False
    slack: bool = False
    dashboard: bool = False


class Narrator(Teller, Protocol):
    """Who shows the story and what is around it."""

    def begin(self, home: SandboxHome) -> None: ...

    def differ(self, message: str) -> None:
        """The story went differently."""
        ...

    def lead_in(self) -> None:
        """The dashboard is about to open."""
        ...

    def invite(self, scene: Scene) -> None:
        """The sandbox stays up: say how to look around."""
        ...


async def run(options: Options, narrator: Narrator, clock: Clock) -> bool:
    """True when all went as the story has it. Everything it started has ended when this returns or raises.

    INT, TERM and HUP end it early: by CancelledError, or after the story by returning.
    """
    stop_on_signals()
    async with open_scene(options, narrator, clock) as scene:
        try:
            await tell_story(scene)
        except Differs as difference:
            narrator.differ(str(difference))
            well = False
        else:
            well = True
        if options.dashboard and well:
            narrator.lead_in()
            await clock.sleep(READING_SECONDS)
            await look_around(scene.home.path)
        if options.keep:
            narrator.invite(scene)
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
    return well


def stop_on_signals() -> None:
    """Cancel this task when the process is told to end, so that every block is left in order."""
    task = this_task()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


@asynccontextmanager
async def open_scene(options: Options, narrator: Narrator, clock: Clock) -> AsyncIterator[Scene]:
    """Hosts, repository and server with the pipeline registered; all is gone after the block."""
    parts = Preparation(narrator, clock)
    with open_home(options.home, keep=options.keep) as home:
        narrator.begin(home)
        parts.begin("hosts")
        async with open_hosts(home, clock) as hosts:
            ports = ", ".join(f"{name} on {address.port}" for name, address in hosts.items())
            parts.end(ports, pids=[address.pid for address in hosts.values()])
            parts.begin("repository")
            repository = await asyncio.to_thread(make_repository, home.repository, placeholders(hosts, home))
            text = f"{repository.commits} commits of a shop: {', '.join(repository.tags)}"
            parts.end(text, path=str(repository.path))
            parts.begin("server")
            async with AsyncExitStack() as stack:
                slack = await stack.enter_async_context(SlackSim(clock=clock)) if options.slack else None
                more = settings(home, slack) if slack is not None else ""
                server = await stack.enter_async_context(open_server(home, options.port, clock, more))
                parts.end(f"dg {__version__} at {server.url}", pid=server.pid, url=server.url)
                parts.begin("pipeline")
                pipeline = await server.client.pipelines.register(repository.pipeline)
                parts.end("the shop's own dg.toml, registered", sha256=pipeline.sha256)
                parts.begin("environments")
                await configure(server.client, hosts)
                parts.end("configured, with a backup every hour")
                parts.begin("people")
                async with open_people(home, server.client, clock) as people:
                    parts.end("ana deploys, ben approves: a token for each")
                    if slack is not None:
                        parts.begin("slack")
                        await introduce(slack, people)
                        parts.end(f"ana and ben are known at {slack.url}", url=slack.url)
                    yield Scene(
                        home,
                        hosts,
                        repository,
                        server.client,
                        people,
                        clock,
                        narrator,
                        parts.started,
                        slack.url if slack is not None else None,
                    )


class Preparation:
    """Tells what is made before the story, and how long each part took."""

    def __init__(self, narrator: Narrator, clock: Clock) -> None:
        self.started = clock.monotonic()
        self._narrator = narrator
        self._clock = clock
        self._part, self._since = "", self.started

    def begin(self, part: str) -> None:
        self._part, self._since = part, self._clock.monotonic()
        self._narrator.busy(part, "starting", self._since - self.started)

    def end(self, text: str, **details: object) -> None:
        now = self._clock.monotonic()
        at, seconds = now - self.started, now - self._since
        self._narrator.tell(Fact("ready", at, text, self._part, seconds=seconds, details=details))
