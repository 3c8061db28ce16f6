"""Puts the API together: contracts, handlers, and the way of one request through them. `dg serve` runs it."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Receive, Scope, Send

from dg.api import (
    access,
    auth,
    backups,
    body,
    contract,
    environments,
    errors,
    health,
    idempotency,
    keys,
    limits,
    origins,
    platform,
    request,
    sessions,
    sightings,
    slack,
    traffic,
    webhooks,
)
from dg.api.call import Call, Handler, Lingering, wanted
from dg.api.contract import ContractError, Document, Operation
from dg.api.deployments import deployments, figures, lanes, notices, pipelines
from dg.api.docs import pages as docs
from dg.api.exchange import Exchange, RequestIds
from dg.api.feed import socket, stream
from dg.api.feed.hub import Hub
from dg.api.limits import Limits
from dg.api.metrics import Metrics
from dg.api.origins import Origins
from dg.api.peers import Cap, Peer, Peers
from dg.api.routing import Match, Router
from dg.api.versions import Versions
from dg.core import tracing
from dg.core.access.models import Origin
from dg.core.errors import NotFound, Problem, Unauthenticated
from dg.core.ledger import Entry
from dg.core.logs import REQUEST

if TYPE_CHECKING:
    from dg.core.access.models import Principal
    from dg.core.app import Core
    from dg.settings import Settings

log = logging.getLogger(__name__)

HANDLERS: Mapping[str, Handler] = {
    **deployments.HANDLERS,
    **lanes.HANDLERS,
    **pipelines.HANDLERS,
    **figures.HANDLERS,
    **keys.HANDLERS,
    **access.HANDLERS,
    **notices.HANDLERS,
    **webhooks.HANDLERS,
    **environments.HANDLERS,
    **backups.HANDLERS,
    **health.HANDLERS,
    **platform.HANDLERS,
    **sessions.HANDLERS,
    **slack.HANDLERS,
}
_NO_BODY: tuple[Mapping[str, Any], bytes] = ({}, b"")
UNVERSIONED = ("/health", "/metrics", "/diagnostics")
"""Paths that monitors look for without the version prefix too."""


def create_app(
    core: Core,
    settings: Settings,
    handlers: Mapping[str, Handler] = HANDLERS,
    contracts: Mapping[str, Document] | None = None,
) -> App:
    """The ASGI application over an open core, by the packaged contracts or others, each by its name.

    Raises ContractError when an operation of the contracts has no handler, or a handler no operation.
    """
    packaged = {name: contract.load(name) for name in contract.NAMES} if contracts is None else {}
    documents = packaged if contracts is None else contracts
    operations = [item for document in documents.values() for item in contract.operations(document)]
    return App(core, settings, bind(operations, handlers), docs.pages(packaged) if packaged else {})


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
        operations = [operation for operation, _ in bound]
        limits.check_classes(operations)
        self._router = Router([*((each.prefix, each) for each in operations), *_aliases(operations)])
        self._versions = Versions(operations)
        self._request_ids = RequestIds()
        self._in_flight = idempotency.InFlight()
        self._lingering = Lingering()
        self._metrics = Metrics()
        self._limits = Limits(settings.limits, core.clock, self._metrics.refuse)
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

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        if scope["type"] == "http":
            return self._http(scope, receive, send)
        if scope["type"] == "websocket":
            return self._websocket(scope, receive, send)
        raise ValueError(f"{scope['type']} is not taken: the core's life is its opener's")

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = request.fields(scope)
        request_id = self._request_ids.of(headers)
        peer = self._peers.find(scope.get("client"), headers)
        key = self._peers.counted(peer.address)
        with self._sockets.held(key) as free:
            try:
                if scope["path"] != socket.PATH:
                    raise NotFound(
                        f"there is no WebSocket at this path; it is {socket.PATH}", reason="no_path"
                    )
                self._origins.check(headers)
                self._versions.check(headers.get("accept-version"), b"")
                if not free:
                    raise self._sockets.refusal(key)
                if (spent := self._limits.spend(limits.OPEN, key)) and spent.refusal:
                    raise spent.refusal
            except Problem as problem:
                await receive()
                await socket.reject(send, problem, request_id)
                return
            REQUEST.set(request_id)
            await socket.Socket(
                self._core,
                self._settings,
                self._hub,
                self._lingering,
                self._limits,
                Origin(address=peer.address, request_id=request_id),
                key,
                scope,
                receive,
                send,
            ).serve()

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = self._core.clock.monotonic()
        headers = request.fields(scope)
        exchange = Exchange(self._request_ids.of(headers), scope, send, headers.get("accept-encoding", ""))
        peer = self._peers.find(scope.get("client"), headers)
        asked = REQUEST.set(exchange.request_id)
        try:
            with tracing.serving("request", headers) as span:
                await self._respond(exchange, scope, receive, headers, peer)
                traffic.trace(exchange, span)
            seconds = self._core.clock.monotonic() - started
            self._metrics.observe(exchange.route, exchange.status, seconds)
            if self._settings.logging.requests:
                traffic.note(exchange, peer.address, seconds)
        finally:
            REQUEST.reset(asked)

    async def _respond(
        self, exchange: Exchange, scope: Scope, receive: Receive, headers: Mapping[str, str], peer: Peer
    ) -> None:
        # Whoever has a connection of its own was counted at the door.
        key = self._peers.counted(peer.address) if peer.passed_on else None
        with self._requests.held(key) as free:
            try:
                page = self._origins.check(headers, scope["scheme"])
                exchange.added += origins.answer_headers(page) if page else ()
                if not free:
                    raise self._requests.refusal(key)
                response = await self._answer(exchange, scope, receive, headers, peer)
            except Problem as problem:
                response = errors.render(problem, exchange.request_id)
            except Exception:
                log.exception("request %s failed: %s", exchange.request_id, exchange.route)
                response = errors.crash(exchange.request_id)
            await response(scope, receive, exchange.send)

    async def _answer(
        self, exchange: Exchange, scope: Scope, receive: Receive, headers: Mapping[str, str], peer: Peer
    ) -> ASGIApp:
        if origins.is_preflight(scope["method"], headers):
            exchange.spent(self._limits.spend(limits.OPEN, self._peers.counted(peer.address)))
            return origins.preflight()
        if page := self._pages.get(scope["path"]):
            exchange.route = docs.OPERATION
            exchange.spent(self._limits.spend(limits.OPEN, self._peers.counted(peer.address)))
            return page.answer(scope["method"], headers)
        operation, values = self._find(exchange, request.raw_path(scope), headers, peer)
        principal = await self._identify(exchange, operation, headers, peer)
        exchange.added += await sightings.answer_headers(self._core.feed, principal, headers)
        arguments = operation.arguments(values, request.query(scope), headers)
        content, raw = _NO_BODY
        if operation.body is not None:
            began = self._core.clock.monotonic()
            content, raw = await self._body(operation, receive, headers)
            if operation.security == "required" and self._core.clock.monotonic() - began >= auth.RECHECK:
                principal = await auth.by_now(self._core, principal, headers)
        wish = idempotency.once(arguments.get("Idempotency-Key"), scope["method"], scope["path"], content)
        call = Call(
            core=self._core,
            settings=self._settings,
            metrics=self._metrics,
            lingering=self._lingering,
            versions=self._versions,
            limits=self._limits,
            principal=principal,
            arguments=arguments,
            headers=headers,
            method=scope["method"],
            body=content,
            once=wish,
            raw=raw,
        )
        handler = self._handlers[operation.id]
        if wish is None:
            return await handler(call)
        with self._in_flight.claim(principal.id, wish):
            return await handler(call)

    async def _body(
        self, operation: Operation, receive: Receive, headers: Mapping[str, str]
    ) -> tuple[Mapping[str, Any], bytes]:
        """What the request holds, as its contract wants it or as it was signed."""
        sent = receive, headers, self._settings.server, self._lingering
        if operation.raw:
            return {}, await body.signed(*sent)
        return await body.checked(operation, *sent), b""

    def _find(self, exchange: Exchange, path: bytes, headers: Mapping[str, str], peer: Peer) -> Match:
        try:
            self._versions.check(headers.get("accept-version"), path)
            match = self._router.find(exchange.method, path)
        except Problem:
            exchange.spent(self._limits.spend(limits.OPEN, self._peers.counted(peer.address)))
            raise
        exchange.means(match.operation)
        return match

    async def _identify(
        self, exchange: Exchange, operation: Operation, headers: Mapping[str, str], peer: Peer
    ) -> Principal:
        """Who is asking. The request is counted as theirs, or their address's while nobody knows them."""
        address = self._peers.counted(peer.address)
        if operation.security == "none":
            exchange.spent(self._limits.spend(operation.rate, address))
            return await auth.identify(self._core, "none", headers, peer, exchange.request_id)
        credential = headers.get("authorization", "")
        exchange.spent(self._limits.check_failures(address, credential))
        try:
            principal = await auth.identify(
                self._core, operation.security, headers, peer, exchange.request_id
            )
        except Unauthenticated:
            exchange.spent(self._limits.failed(address, credential))
            raise
        exchange.principal = principal.id
        streams = operation.streams and wanted(headers) == stream.MEDIA_TYPE
        exchange.spent(self._limits.spend(limits.STREAM if streams else operation.rate, principal.id))
        return principal


def _aliases(operations: Iterable[Operation]) -> Iterable[tuple[str, Operation]]:
    newest = {each.path: each for each in sorted(operations, key=lambda each: each.version)}
    return [("", newest[path]) for path in UNVERSIONED if path in newest]
