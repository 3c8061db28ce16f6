"""Puts the simulator together and serves it: the one place that knows all its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from dg.core.clock import Clock
from dg.core.tasks import open_tasks
from dg.slacksim import reading, responding
from dg.slacksim.admin import Admin
from dg.slacksim.api import WebApi
from dg.slacksim.control import Control
from dg.slacksim.deliveries import RETRY_AFTER, Deliveries, SignedHttp
from dg.slacksim.errors import SlackError
from dg.slacksim.faults import Faults
from dg.slacksim.limits import Limits
from dg.slacksim.look.routes import Page
from dg.slacksim.methods.files import MOST_BYTES, Files
from dg.slacksim.methods.table import table
from dg.slacksim.people import People
from dg.slacksim.sockets import LIFETIME_SECONDS, Sockets
from dg.slacksim.workspace import Workspace
from dg.slacksim.world import World

HOST = "127.0.0.1"
"""The simulator lets everybody be anybody: it never listens to other machines."""

SHUTDOWN_SECONDS = 0.2


@dataclass(frozen=True)
class Options:
    """How a simulator runs. `scale` multiplies Slack's rate limits; 0 turns them off."""

    port: int = 0
    scale: float = 1.0
    retry_after: tuple[float, ...] = RETRY_AFTER
    socket_lifetime: float = LIFETIME_SECONDS


@dataclass(frozen=True)
class Parts:
    """A simulator that runs."""

    slack: Workspace
    faults: Faults
    limits: Limits
    sockets: Sockets
    deliveries: Deliveries
    people: People
    admin: Admin


@asynccontextmanager
async def serve(world: World, clock: Clock, options: Options) -> AsyncIterator[Parts]:
    """A simulator on a port of this machine until the block ends. Raises OSError when the port is taken."""
    slack = Workspace(world, clock)
    faults = Faults()
    async with open_tasks() as tasks, aiohttp.ClientSession() as session:
        sockets = Sockets(slack, tasks, faults, options.socket_lifetime)
        http = SignedHttp(slack, tasks, faults, session)
        deliveries = Deliveries(slack, tasks, faults, sockets, http, options.retry_after)
        people = People(slack, deliveries)
        limits = Limits(clock, options.scale)
        parts = Parts(slack, faults, limits, sockets, deliveries, people, Admin(slack, people))
        runner = web.AppRunner(application(parts), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, options.port).start()
            slack.base_url = f"http://{HOST}:{runner.addresses[0][1]}"
            yield parts
        finally:
            sockets.abort()
            await runner.cleanup()


def application(parts: Parts) -> web.Application:
    """Everything that is reached over HTTP."""
    files = Files()
    api = WebApi(parts.slack, table(files), parts.limits, parts.faults)
    app = web.Application(client_max_size=max(reading.MOST_BODY, MOST_BYTES) + 1, middlewares=[_plain_errors])
    app.router.add_get("/api/{method}", api.answer)
    app.router.add_post("/api/{method}", api.answer)
    app.router.add_get("/link/", parts.sockets.connect)
    app.router.add_post("/response/{name}", _responses(parts.slack))
    app.router.add_post("/upload/{address}", _uploads(files))
    Control(parts.slack, parts.faults, parts.sockets, parts.people, parts.admin).mount(app.router)
    Page(parts.slack, lambda: len(parts.sockets.open()), parts.people.mistakes).mount(app.router)
    return app


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What a client sent wrong is its error, whichever part found it."""
    try:
        return await handler(request)
    except SlackError as error:
        return web.json_response(error.body(), status=400)


def _responses(slack: Workspace) -> Handler:
    async def respond(request: web.Request) -> web.Response:
        try:
            hook = slack.passes.respond(request.match_info["name"])
        except SlackError as error:
            return web.json_response(error.body(), status=404)
        responding.to_hook(slack, hook, reading.loaded(await request.read()))
        return web.Response(text="ok")

    return respond


def _uploads(files: Files) -> Handler:
    async def upload(request: web.Request) -> web.Response:
        sent = await reading.uploaded(request)
        files.receive(request.match_info["address"], sent)
        return web.Response(text=f"OK - {len(sent)}")

    return upload
