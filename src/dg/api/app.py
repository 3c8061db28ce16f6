"""Puts the API together: contracts, handlers, and the way of one request through them. `dg serve` runs it."""

from __future__ import annotations

import itertools
import logging
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dg.api import auth, contract, errors, idempotency, json, keys, origins, platform, sightings
from dg.api.call import PREFIX, Call, Handler, Lingering
from dg.api.contract import ContractError, Operation
from dg.api.deployments import deployments, figures, lanes, pipelines
from dg.api.docs import pages as docs
from dg.api.feed import socket
from dg.api.feed.hub import Hub
from dg.api.metrics import UNROUTED, Metrics
from dg.api.origins import Origins
from dg.api.peers import Cap, Peer, Peers
from dg.api.routing import Router
from dg.core.access.models import Origin
from dg.core.errors import Invalid, NotFound, Problem, Unavailable
from dg.core.ledger import Entry

if TYPE_CHECKING:
    from dg.core.app import Core
    from dg.settings import Settings

log = logging.getLogger(__name__)

HANDLERS: Mapping[str, Handler] = {
    **deployments.HANDLERS,
    **lanes.HANDLERS,
    **pipelines.HANDLERS,
    **figures.HANDLERS,
    **keys.HANDLERS,
    **platform.HANDLERS,
}
UNVERSIONED = ("/health", "/metrics", "/diagnostics")
"""Paths that monitors look for without the version prefix too."""

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def create_app(core: Core, settings: Settings, handlers: Mapping[str, Handler] = HANDLERS) -> App:
    """The ASGI application over an open core.

    Raises ContractError when an operation of the contracts has no handler, or a handler no operation.
    """
    documents = {name: contract.load(name) for name in contract.NAMES}
    operations = [item for document in documents.values() for item in contract.operations(document)]
    return App(core, settings, bind(operations, handlers), docs.pages(documents))


def bind(operations: Iterable[Operation], handlers: Mapping[str, Handler]) -> list[tuple[Operation, Handler]]:
    """Each operation with its handler. Raises ContractError unless they fit one to one."""
    named = {operation.id: operation for operation in operations}
    if missing := named.keys() - handlers.keys():
        raise ContractError(f"operations without a handler: {', '.join(sorted(missing))}")
    if surplus := handlers.keys() - named.keys():
        raise ContractError(f"handlers without an operation: {', '.join(sorted(surplus))}")
    return [(operation, handlers[name]) for name, operation in named.items()]


class App:
    """One server's API. `stop` lets go of whoever waits; the core is closed by whoever opened it."""

    def __init__(
        self,
        core: Core,
        settings: Settings,
        bound: list[tuple[Operation, Handler]],
        pages: docs.Pages = MappingProxyType({}),
    ) -> None:
        self._core = core
        self._settings = settings
        self._pages = pages
        self._handlers = {operation.id: handler for operation, handler in bound}
        self._router = Router([(PREFIX, operation) for operation, _ in bound] + _aliases(bound))
        self._request_ids = map(f"{secrets.token_hex(4)}-{{:x}}".format, itertools.count(1))
        self._in_flight = idempotency.InFlight()
        self._lingering = Lingering()
        self._metrics = Metrics()
        server = settings.server
        self._peers = Peers(server.trusted_proxies)
        self._origins = Origins(server.origins, server.public_url)
        self._requests = Cap(server.max_connections_per_address, "server.max_connections_per_address")
        self._sockets = Cap(server.max_websockets_per_address, "server.max_websockets_per_address")
        self._hub = Hub(core.feed, self._metrics, settings.api.ws_queue)
        self._unsubscribe = core.feed.subscribe(self.deliver)

    def stop(self) -> None:
        """End streams, long polls and WebSockets, so that a stopping server need not wait for them."""
        self._unsubscribe()
        self._lingering.stop()

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Hand facts on to who listens; called after each commit."""
        self._hub.deliver(entries)
        self._metrics.deliver(entries)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            raise NotImplementedError("the core's life is its opener's, there is no lifespan here")

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _fields(scope)
        request_id = next(self._request_ids)
        peer = self._peers.find(scope.get("client"), headers)
        key = self._peers.counted(peer.address)
        with self._sockets.held(key) as free:
            try:
                if scope["path"] != socket.PATH:
                    raise NotFound(
                        f"there is no WebSocket at this path; it is {socket.PATH}", reason="no_path"
                    )
                self._origins.check(headers)
                if not free:
                    raise self._sockets.refusal(key)
            except Problem as problem:
                await receive()
                await socket.reject(send, problem, request_id)
                return
            origin = Origin(address=peer.address, request_id=request_id)
            await socket.Socket(
                self._core, self._settings, self._hub, self._lingering, origin, scope, receive, send
            ).serve()

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = self._core.clock.monotonic()
        headers = _fields(scope)
        given = headers.get("x-request-id", "")
        exchange = _Exchange(
            given if REQUEST_ID.fullmatch(given) else next(self._request_ids), scope["method"], send
        )
        peer = self._peers.find(scope.get("client"), headers)
        # Whoever has a connection of its own was counted at the door.
        key = self._peers.counted(peer.address) if peer.passed_on else None
        with self._requests.held(key) as free:
            try:
                exchange.origin = self._origins.check(headers, scope["scheme"])
                if not free:
                    raise self._requests.refusal(key)
                response = await self._answer(exchange, scope, receive, headers, peer)
            except Problem as problem:
                response = errors.render(problem, exchange.request_id)
            except Exception:
                log.exception("request %s failed: %s", exchange.request_id, exchange.operation)
                response = errors.crash(exchange.request_id)
            await response(scope, receive, exchange.send)
        self._metrics.observe(exchange.operation, exchange.status, self._core.clock.monotonic() - started)

    async def _answer(
        self, exchange: _Exchange, scope: Scope, receive: Receive, headers: Mapping[str, str], peer: Peer
    ) -> ASGIApp:
        if origins.is_preflight(scope["method"], headers):
            return origins.preflight()
        if page := self._pages.get(scope["path"]):
            exchange.operation = docs.OPERATION
            return page.answer(scope["method"], headers)
        operation, values = self._router.find(scope["method"], _raw_path(scope))
        exchange.operation = operation.id
        principal = await auth.identify(self._core, operation.security, headers, peer, exchange.request_id)
        exchange.sightings = await sightings.answer_headers(self._core.feed, principal, headers)
        arguments = operation.arguments(values, _query(scope), headers)
        body = await self._body(operation, receive, headers)
        wish = idempotency.once(arguments.get("Idempotency-Key"), scope["method"], scope["path"], body)
        call = Call(
            core=self._core,
            settings=self._settings,
            metrics=self._metrics,
            lingering=self._lingering,
            principal=principal,
            arguments=arguments,
            headers=headers,
            method=scope["method"],
            body=body,
            once=wish,
        )
        handler = self._handlers[operation.id]
        if wish is None:
            return await handler(call)
        with self._in_flight.claim(principal.id, wish):
            return await handler(call)

    async def _body(
        self, operation: Operation, receive: Receive, headers: Mapping[str, str]
    ) -> Mapping[str, Any]:
        """The checked body; empty for an operation without one, or when it is optional and left out."""
        if operation.body is None:
            return {}
        limits = self._settings.server
        content = await self._read(receive, headers, limits.max_body_bytes, limits.body_timeout)
        if not content and not operation.body_required:
            return {}
        media_type = headers.get("content-type", "").split(";")[0].strip().lower()
        if media_type != json.MEDIA_TYPE:
            raise errors.UnsupportedMedia(f"send the body as {json.MEDIA_TYPE}, and say so in Content-Type")
        value = json.read(content)
        operation.check_body(value)
        checked: Mapping[str, Any] = value
        return checked

    async def _read(self, receive: Receive, headers: Mapping[str, str], most: int, seconds: float) -> bytes:
        """The request's body.

        Raises TooLarge before it holds more than `most` bytes, TooSlow after `seconds`, and Unavailable when
        the server stops before it is whole: nothing was done yet, so it can be sent again.
        """
        too_large = errors.TooLarge(f"the body is larger than {most} bytes", limit=most)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise too_large
        body = bytearray()
        try:
            async with self._lingering.wait(seconds):
                while True:
                    event = await receive()
                    body += event.get("body", b"")
                    if len(body) > most:
                        raise too_large
                    if not event.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            if self._lingering.stopping:
                raise Unavailable("the server stops; send the request again", reason="stopping") from None
            raise errors.TooSlow(f"the body did not arrive within {seconds:g} seconds") from None


class _Exchange:
    """What one request is known by, and the answer's way out: every answer gets the common headers."""

    def __init__(self, request_id: str, method: str, send: Send) -> None:
        self.request_id = request_id
        self.operation = UNROUTED
        self.status = 0
        self.origin: str | None = None
        self.sightings: sightings.Headers = []
        self._head = method == "HEAD"
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [
                *message["headers"],
                (b"x-request-id", self.request_id.encode()),
                (b"x-content-type-options", b"nosniff"),
                *(origins.answer_headers(self.origin) if self.origin else ()),
                *self.sightings,
            ]
        elif self._head:
            message["body"] = b""
        await self._send(message)


def _aliases(bound: list[tuple[Operation, Handler]]) -> list[tuple[str, Operation]]:
    return [("", operation) for operation, _ in bound if operation.path in UNVERSIONED]


def _fields(scope: Scope) -> dict[str, str]:
    """The headers by name; one that comes several times as one list (RFC 9110, 5.3), which no header that
    stands alone can be mistaken for."""
    found: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def _raw_path(scope: Scope) -> bytes:
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    return raw.partition(b"?")[0]


def _query(scope: Scope) -> dict[str, str]:
    """The query's parameters. Raises Invalid for one that comes twice or is not text."""
    if not scope["query_string"]:
        return {}
    try:
        pairs = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise Invalid("the query is not percent-encoded UTF-8") from None
    query = dict(pairs)
    if len(query) != len(pairs):
        raise Invalid("a query parameter comes twice; send each once")
    if any("\0" in text for pair in pairs for text in pair):
        raise Invalid("the query holds a NUL")
    return query
