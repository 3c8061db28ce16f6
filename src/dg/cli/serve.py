"""`dg serve`: the server as one process, from its settings to its last request."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import click

from dg import __version__
from dg.cli.errors import ExitCode
from dg.cli.local import owner
from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.output import Meaning, Output

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from dg.cli.standby import Waiting
    from dg.core.app import Core
    from dg.core.tasks import Tasks
    from dg.settings import Settings
    from dg.settings.tree import Logging

log = logging.getLogger(__name__)

EVERYBODY_ELSE = 0o077

COLLECT = (10_000, 20, 100)
"""Thresholds of Python's garbage collection: a look through all that ten thousand idle WebSockets keep stops
the server for a second, and with the usual thresholds there is one every few seconds."""


@click.command(cls=Command)
@click.option("--host", help="Address to listen on [127.0.0.1].")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on [8470]; 0 takes a free one.")
@click.option("--insecure-bind", is_flag=True, help="Listen without TLS where others reach it.")
@pass_invocation
def serve(invocation: Invocation, host: str | None, port: int | None, insecure_bind: bool) -> int:
    """Run the server until it is told to stop. Deployments that run go on without it."""
    # What is made until the server is ready stays for good: looking through it again and again is wasted.
    gc.disable()
    import uvloop

    from dg.core import tracing

    settings = invocation.settings(
        {"server.host": host, "server.port": port, "server.allow_plain": insecure_bind or None}
    ).settings
    os.umask(EVERYBODY_ELSE)
    hide(required=settings.server.production)
    log_to_stderr(settings.logging)
    with (
        tracing.collecting(settings.tracing, __version__),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(run(settings, invocation.output))
    return ExitCode.OK


def hide(*, required: bool) -> None:
    """Keep this process's memory, which holds keys and secrets, from core files and from its user's steps.

    Raises Refused when it is `required` and the system cannot.
    """
    from dg.core.errors import Refused
    from dg.runner import processes

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not processes.prctl(processes.SET_DUMPABLE, 0) and required:
        raise Refused(
            "this system does not close a process's memory to its own user (PR_SET_DUMPABLE), so that steps "
            "could read the key out of it: run dg on Linux, or leave `server.production` off",
            reason="memory_open",
        )


async def run(settings: Settings, output: Output) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends the process at once.

    Raises Refused, also when another server took the database over from this one.
    """
    from dg.cli.standby import Waiting
    from dg.core.tasks import open_tasks

    stop = stop_signal()
    async with open_tasks() as tasks:
        waiting = Waiting(settings, output, stop, tasks)
        try:
            await serve_until(stop, settings, output, waiting, tasks)
        except asyncio.CancelledError:
            if waiting.problem:
                raise waiting.problem from None
            if not stop.is_set():
                raise


async def serve_until(
    stop: asyncio.Event, settings: Settings, output: Output, waiting: Waiting, tasks: Tasks
) -> None:
    """Open the core, as soon as it may be, and the API over it. Raises Refused."""
    from dg.api.app import create_app
    from dg.api.server import listen
    from dg.core.app import open_core
    from dg.core.errors import Refused

    async with open_core(settings, waits=waiting.begin) as core:
        await waiting.end()
        app = create_app(core, settings)
        async with (
            in_slack(app, core, settings) as served,
            listen(served, waiting.server) as listening,
        ):
            with announced(settings, listening.url):
                gc.freeze()
                gc.set_threshold(*COLLECT)
                gc.enable()
                await say_ready(core, settings, listening.url, output)
                ends = [tasks.spawn("end", event.wait()) for event in (stop, core.superseded)]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if stop.is_set():
                    await drain(core, settings.server.drain)
            app.stop()
        if core.superseded.is_set():
            raise Refused(
                "another server took the database over: this one acts no more; start it again to stand by",
                reason="superseded",
            )


@asynccontextmanager
async def in_slack(app: ASGIApp, core: Core, settings: Settings) -> AsyncIterator[ASGIApp]:
    """The application with the Slack bot beside it, where the settings say so. Raises Refused."""
    if settings.slack.mode == "off":
        yield app
        return
    from dg.bot.app import open_bot

    async with open_bot(core, settings, os.environ) as bot:
        yield bot.around(app)


async def drain(core: Core, seconds: float | None) -> None:
    """Wait up to `seconds` for running deployments, where the server's end would be theirs."""
    if seconds is None:
        return
    log.warning("told to stop: waiting up to %g s for deployments that run (server.drain)", seconds)
    try:
        async with asyncio.timeout(seconds):
            await core.drain()
    except TimeoutError:
        log.warning("deployments still run after %g s (server.drain): stopping without them", seconds)


def stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT, which also gives the signals their usual effect back."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def told() -> None:
        stop.set()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, told)
    return stop


@contextmanager
def announced(settings: Settings, url: str) -> Iterator[None]:
    """The address stands in the home meanwhile, for commands on this machine."""
    from dg.core.home import Home, write_private

    address = Home(settings.home).address
    write_private(address, json.dumps({"url": url, "pid": os.getpid()}))
    try:
        yield
    finally:
        try:
            address.unlink(missing_ok=True)
        except OSError as error:
            # A disk that turned read-only must not make a failure of a stop that went well.
            log.warning("%s could not be removed: %s", address, error.strerror)


async def say_ready(core: Core, settings: Settings, url: str, output: Output) -> None:
    """The one line on standard output that says where the server is."""
    if output.json:
        output.record({"ready": url, "home": str(settings.home), "version": __version__, "pid": os.getpid()})
    else:
        first = not await core.tokens.list(owner())
        hint = [("(first token: dg token create --name NAME --role admin)", Meaning.DIM)] if first else []
        output.line(f"dg {__version__}", ("ready", Meaning.OK), f"on {url}  home {settings.home}", *hint)
    output.stream.flush()


def log_to_stderr(settings: Logging) -> None:
    """The server's own messages, one line each, safe for a terminal."""
    from dg.core.logs import JsonFormatter, TextFormatter

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("dg").setLevel(settings.level.upper())
