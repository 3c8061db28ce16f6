"""The Web API over HTTP: who calls, may they, is it too often, what goes wrong; then the method."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiohttp import web

from dg.slacksim import reading
from dg.slacksim.errors import SlackError
from dg.slacksim.faults import Fault, Faults
from dg.slacksim.limits import Limits
from dg.slacksim.methods.arguments import Arguments
from dg.slacksim.methods.table import Method
from dg.slacksim.workspace import Workspace

APP_SCOPES = frozenset({"connections:write"})
"""What the app-level token is for."""


class WebApi:
    """Answers `/api/{method}`."""

    def __init__(
        self, slack: Workspace, methods: Mapping[str, Method], limits: Limits, faults: Faults
    ) -> None:
        self._slack = slack
        self._methods = methods
        self._limits = limits
        self._faults = faults
        slack.known_methods = frozenset(methods)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Every refusal is 200 with `ok: false`, as Slack has it; a body that is too large is 413."""
        name = request.match_info["method"]
        if self._faults.take(name, "down"):
            self._slack.note(name, {}, "down", applied=False)
            return reset(request)
        values: dict[str, Any] = {}
        try:
            values = await reading.arguments(request)
            body = await self._call(name, values, request)
        except SlackError as error:
            self._slack.note(name, values, error.code, applied=False)
            return self._respond(error.body(), name)
        if isinstance(body, web.StreamResponse):
            return body
        self._slack.note(name, values, "ok", applied=True)
        return self._respond(body, name)

    async def _call(
        self, name: str, values: dict[str, Any], request: web.Request
    ) -> dict[str, Any] | web.StreamResponse:
        method = self._methods.get(name)
        if method is None:
            raise SlackError("unknown_method", req_method=name[:64])
        self._admit(method, reading.token(request, values))
        slow = self._faults.take(name, "slow")
        if slow and not slow.applied:
            await self._slack.clock.sleep(slow.seconds)
        if refusal := self._too_often(name, method, values):
            return refusal
        fault = self._faults.take(name, "reset", "status", "error")
        if fault and not fault.applied:
            return self._fail(fault, request, name, values, applied=False)
        body = method.run(self._slack, Arguments(values))
        if slow and slow.applied:
            await self._slack.clock.sleep(slow.seconds)
        if fault:
            return self._fail(fault, request, name, values, applied=True)
        return body

    def _admit(self, method: Method, token: str) -> None:
        """Raises SlackError unless the token is right, alive and has a scope of the method."""
        app = self._slack.app
        right, other = app.bot_token, app.app_token
        if method.caller == "app":
            right, other = other, right
        if not token:
            raise SlackError("not_authed")
        if token == other:
            raise SlackError("not_allowed_token_type")
        if token != right:
            raise SlackError("invalid_auth")
        if self._slack.standing != "active":
            raise SlackError(self._slack.standing)
        if method.caller == "bot":
            self._slack.check_scope(*method.scopes)

    def _too_often(self, name: str, method: Method, values: dict[str, Any]) -> web.Response | None:
        if fault := self._faults.take(name, "ratelimited"):
            return self._ratelimited(name, values, math.ceil(fault.seconds))
        channel = self._slack.named(str(values.get("channel") or "")) if method.by_channel else None
        if method.by_channel and channel is None:
            return None
        wait = self._limits.take(name, method.per_minute, channel.id if channel else "")
        return self._ratelimited(name, values, wait) if wait else None

    def _ratelimited(self, name: str, values: dict[str, Any], seconds: int) -> web.Response:
        self._slack.note(name, values, "ratelimited", applied=False)
        body = {"ok": False, "error": "ratelimited"}
        return web.json_response(body, status=429, headers={"Retry-After": str(max(1, seconds))})

    def _fail(
        self, fault: Fault, request: web.Request, name: str, values: dict[str, Any], *, applied: bool
    ) -> web.StreamResponse:
        outcome = {"reset": "reset", "status": str(fault.status)}.get(fault.kind, fault.error)
        self._slack.note(name, values, outcome, applied=applied)
        if fault.kind == "reset":
            return reset(request)
        if fault.kind == "status":
            body = json.dumps({"ok": False, "error": fault.error})
            return web.Response(status=fault.status, text=body, content_type="application/json")
        return self._respond({"ok": False, "error": fault.error}, name)

    def _respond(self, body: dict[str, Any], name: str) -> web.Response:
        method = self._methods.get(name)
        headers = {"x-oauth-scopes": ",".join(sorted(self._slack.scopes))}
        if method and method.caller == "app":
            headers["x-oauth-scopes"] = ",".join(APP_SCOPES)
        if method:
            headers["x-accepted-oauth-scopes"] = ",".join(method.scopes)
        return web.json_response(body, headers=headers)


def reset(request: web.Request) -> web.Response:
    """End the connection with a TCP reset; what is returned is never sent."""
    if request.transport is not None:
        abort(request.transport)
    return web.Response()


def abort(transport: asyncio.Transport) -> None:
    """End a connection with a reset, so that the other side notices at once."""
    # A connection that has ended already has no socket to set anything on.
    with suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
