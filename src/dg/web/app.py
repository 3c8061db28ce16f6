"""Puts `dg web` together and serves it: sign-in, the page with its files, each dashboard's socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from urllib.parse import parse_qs

from aiohttp import web

from dg.core.clock import Clock
from dg.core.errors import Problem, TooMany
from dg.core.tasks import open_tasks
from dg.web import pages
from dg.web.children import Manner
from dg.web.dashboards import Caps, Dashboards
from dg.web.door import Door, check_place, checked_public_url
from dg.web.packets import Garbled, size_of
from dg.web.visits import Visit, Visits

MOST_MESSAGE = 256 * 1024
"""Bytes of one message of a browser: a paste."""
MOST_FORM = 4096
MOST_FIELDS = 8
PATIENCE = 15.0
"""Seconds that a connection may say nothing, or only half of what it began to."""
HEARTBEAT = 15.0
SHUTDOWN_SECONDS = 1.0
CLOSE_SECONDS = 2.0

HEADERS = {
    "Server": "dg",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "clipboard-read=(), camera=(), microphone=(), geolocation=()",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FILES = {
    "textual.js": ("textual_serve", "static/js/textual.js", "text/javascript"),
    "xterm.css": ("textual_serve", "static/css/xterm.css", "text/css"),
    "mono.ttf": ("textual_serve", "static/fonts/RobotoMono-VariableFont_wght.ttf", "font/ttf"),
    "page.css": ("dg.web", "assets/page.css", "text/css"),
    "page.js": ("dg.web", "assets/page.js", "text/javascript"),
    "icon.svg": ("dg.web", "assets/icon.svg", "image/svg+xml"),
}
"""All that is served as it stands: package, place in it, and kind."""


@dataclass(frozen=True)
class Options:
    """How `dg web` runs. `public_url` is what browsers open where a proxy with TLS stands in front."""

    manner: Manner
    caps: Caps
    host: str = "127.0.0.1"
    port: int = 0
    public_url: str | None = None


@asynccontextmanager
async def serve(options: Options, clock: Clock) -> AsyncIterator[str]:
    """Be there until the block ends; gives the address for browsers. Every dashboard has ended after it.

    Raises Invalid for a place that must not be listened at so, OSError when the port is taken.
    """
    public_url = checked_public_url(options.public_url) if options.public_url else None
    check_place(options.host, public_url)
    manner, caps = options.manner, options.caps
    async with open_tasks() as tasks:
        visits = Visits(manner.url, manner.ca_file, caps.idle, clock, tasks)
        web_app = Web(visits, Dashboards(caps, manner, clock, tasks), manner.url)
        runner = web.AppRunner(
            web_app.application(),
            access_log=None,
            shutdown_timeout=SHUTDOWN_SECONDS,
            keepalive_timeout=PATIENCE,
            lingering_time=PATIENCE,
            auto_decompress=False,
            handler_cancellation=False,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, options.host, options.port).start()
            port = runner.addresses[0][1]
            web_app.door = Door.of(port, public_url)
            tasks.spawn("web: sweep", visits.sweep())
            yield public_url or f"http://127.0.0.1:{port}"
        finally:
            await visits.close()
            await runner.cleanup()


class Web:
    """What is answered. Nothing is before the door is there."""

    def __init__(self, visits: Visits, dashboards: Dashboards, server: str) -> None:
        self._visits, self._dashboards, self._server = visits, dashboards, server
        self.door = Door(frozenset())

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MOST_FORM, middlewares=[self._guard])
        app.on_response_prepare.append(self._dress)
        app.router.add_get("/", self.page)
        app.router.add_get("/login", self.look)
        app.router.add_post("/login", self.sign_in)
        app.router.add_post("/logout", self.sign_out)
        app.router.add_get("/ws", self.dashboard)
        app.router.add_get("/static/{name}", self.file)
        return app

    # Pages

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The dashboard of whoever is signed in, or the way to it."""
        visit = self._visit(request)
        if visit is None:
            return _html(pages.sign_in(self._server))
        if visit.over.is_set():
            await self._visits.end(visit)
            return _html(pages.message("You are signed out", visit.why))
        if visit.person is None:
            raise web.HTTPSeeOther("/login")
        try:
            self._dashboards.check_room(visit.person.id)
        except TooMany as full:
            return _html(pages.message("No dashboard is free", full.message), 503)
        socket = self.door.origin(request).replace("http", "ws", 1) + "/ws"
        return _html(pages.terminal(socket, pages.font_size(request.query.get("fontsize"))))

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """Ask the server for a code; whoever was signed in or waited with this browser is no more."""
        name, before = await _name(request), self._visit(request)
        try:
            cookie = await self._visits.begin(name, self.door.address(request))
        except TooMany as full:
            return _html(pages.message("Not now", full.message), 429)
        except Problem as problem:
            return _html(pages.message("Nobody can sign in now", problem.message), 503)
        if before is not None:
            # Nobody could end it any more: its cookie is about to be replaced.
            await self._visits.end(before)
        answer = web.HTTPSeeOther("/login")
        self.door.give(answer, cookie)
        raise answer

    async def look(self, request: web.Request) -> web.StreamResponse:
        """The code, until somebody has decided."""
        visit = self._visit(request)
        if visit is None:
            raise web.HTTPSeeOther("/")
        if visit.over.is_set():
            await self._visits.end(visit)
            return _html(pages.message("You were not let in", visit.why), 403)
        if visit.person is None:
            return _html(pages.waiting(visit.device))
        answer = web.HTTPSeeOther("/")
        self.door.give(answer, self._visits.renew(request.cookies[self.door.cookie]))
        raise answer

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """End the visit, its dashboards and its session."""
        if (visit := self._visit(request)) is not None:
            await self._visits.end(visit)
        answer = web.HTTPSeeOther("/")
        self.door.take_back(answer)
        raise answer

    async def file(self, request: web.Request) -> web.StreamResponse:
        """One of the files that pages need."""
        name = request.match_info["name"]
        if name not in FILES:
            raise web.HTTPNotFound(text="There is no such file.\n")
        return web.Response(
            body=content(name), content_type=FILES[name][2], headers={"Cache-Control": "private, max-age=600"}
        )

    async def dashboard(self, request: web.Request) -> web.StreamResponse:
        """A dashboard of one's own, for as long as the socket lives."""
        visit = self._visit(request)
        if visit is None or visit.person is None or visit.over.is_set():
            raise web.HTTPUnauthorized(text="Sign in first.\n")
        size = _size(request)
        try:
            with self._dashboards.seat(visit.person.id) as seat:
                socket = web.WebSocketResponse(
                    heartbeat=HEARTBEAT, max_msg_size=MOST_MESSAGE, compress=False, timeout=CLOSE_SECONDS
                )
                await socket.prepare(request)
                await self._dashboards.run(visit, seat, socket, size)
                await socket.close()
        except TooMany as full:
            raise web.HTTPServiceUnavailable(text=f"{full.message}\n") from None
        return socket

    def _visit(self, request: web.Request) -> Visit | None:
        return self._visits.find(request.cookies.get(self.door.cookie))

    async def _dress(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["Content-Security-Policy"] = self.door.policy(request)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.door.check(request)
        return await handler(request)


async def _name(request: web.Request) -> str:
    """What the form on the sign-in page has. Raises HTTPBadRequest, HTTPRequestTimeout."""
    try:
        async with asyncio.timeout(PATIENCE):
            form = parse_qs((await request.read()).decode("ascii", "replace"), max_num_fields=MOST_FIELDS)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="The form did not come in time.\n") from None
    except ValueError:
        raise web.HTTPBadRequest(text="That is not the form of the sign-in page.\n") from None
    return form.get("name", [""])[0].strip()[:60]


def _size(request: web.Request) -> tuple[int, int]:
    """What the page asks for. Raises HTTPBadRequest."""
    try:
        return size_of(int(request.query.get("width", "80")), int(request.query.get("height", "24")))
    except (ValueError, Garbled):
        raise web.HTTPBadRequest(text="width and height are whole numbers.\n") from None


def _html(page: str, status: int = 200) -> web.Response:
    return web.Response(text=page, status=status, content_type="text/html")


@cache
def content(name: str) -> bytes:
    """What stands in one of `FILES`."""
    package, place, _ = FILES[name]
    return resources.files(package).joinpath(*place.split("/")).read_bytes()
